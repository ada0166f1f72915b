"""The keys that credentials are encrypted with: ENCRYPTION_KEYS, or a file beside an embedded database."""

import base64
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from src.core.errors import NoEncryptionKey

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

logger = logging.getLogger(__name__)


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def key_id(key: str) -> str:
    """A name for the key that tells nothing of it."""
    return hashlib.sha256(b"nova key id:" + key.encode()).hexdigest()[:12]


class Keyring:
    """Nothing is read or made before the first use.

    Args:
        named: of ENCRYPTION_KEYS, the newest first.
        database: an embedded one may have a key file, which is made when there is something to encrypt.
    """

    def __init__(self, named: Sequence[str], database: URL) -> None:
        self._named = named
        self._file = _file_beside(database)

    @property
    def keys(self) -> list[str]:
        """The first is for what is new; all are for what is there."""
        filed = self._file.read_text().split() if self._file and self._file.exists() else []
        return [*self._named, *filed]

    def encrypt(self, content: bytes) -> tuple[str, str]:
        """What is to be kept, and the id of the key that made it. Raises NoEncryptionKey."""
        if not self.keys:
            self._make_one()
        return self._fernets().encrypt(content).decode(), key_id(self.keys[0])

    def decrypt(self, token: str) -> bytes | None:
        """None where none of the keys made it, or somebody has changed it."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 -- who has no credentials does not pay for it

        try:
            return self._fernets().decrypt(token.encode()) if self.keys else None
        except InvalidToken:
            return None

    def _fernets(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

        fernets: list[Fernet] = [Fernet(key) for key in self.keys]
        return MultiFernet(fernets)

    def _make_one(self) -> None:
        if self._file is None:
            raise NoEncryptionKey
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{new_key()}\n")
        try:
            os.link(draft, self._file)  # whole, or not at all: another process may be about to do the same
            logger.warning("made %s: it decrypts the credentials; back it up apart from the database", self._file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def _file_beside(database: URL) -> Path | None:
    if database.get_backend_name() != "sqlite" or database.database in (None, ":memory:"):
        return None
    return Path(f"{database.database}.key")
