"""The credentials of clients: written by whoever may, read by runs alone, encrypted in between."""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, insert, select, update

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.errors import CredentialRefused, NotFound, NotReady, Problem, Unreadable, ValueRefused, pointer_to
from src.core.in_use import IN_USE
from src.core.masking import Mask, forms_of
from src.core.outcome import Context, Json
from src.core.values import plain_object
from src.database import Database
from src.models import Client, Credential
from src.runtime.audit import note
from src.runtime.keyring import Keyring, key_id

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
MAX_KEYS = 100
MAX_VALUE_BYTES = 64 * 1024
_LISTED: tuple[Any, ...] = (Credential.name, Credential.created_at, Credential.updated_at)


class Stored(NamedTuple):
    is_new: bool
    unmasked: list[str]
    """Keys whose values are too short to be recognised: Nova cannot keep them out of what nodes print."""


class Vault:
    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def of_client(self, client_id: int | None) -> Credentials:
        """What a run for the client may use. Raises Unreadable."""
        if client_id is None:
            return NO_CREDENTIALS
        columns = (Client.slug, Credential.id, Credential.name, Credential.secret)
        query = select(*columns).outerjoin_from(Client, Credential)
        with self._database.read() as connection:
            rows = connection.execute(query.where(Client.id == client_id).order_by(Credential.name)).all()
        values: Context = {"client_slug": rows[0].slug} if rows else {}
        plain = {"client_slug"}
        for row in rows:
            if row.id is not None:
                opened = self._open(row, client_id)
                values |= opened["values"]
                plain |= set(opened["plain"])
        credentials = Credentials(values, plain)
        IN_USE.hold(client_id, credentials.mask)
        return credentials

    def put(self, slug: str, name: str, values: Mapping[str, Any], plain: Collection[str] = ()) -> Stored:
        """Keep a flat object of values, in the place of what had this name.

        Args:
            plain: keys whose values are no secrets.

        Raises:
            NotFound: the client.
            CredentialRefused: with every problem.
            NoEncryptionKey
        """
        client_id = self._client(slug)
        IN_USE.hold((client_id, name), Mask({key: value for key, value in values.items() if key not in plain}))
        problems = [*_problems(name, values, plain), *self._taken(client_id, name, values)]
        if problems:
            raise CredentialRefused(problems)
        secret, made_by = self._sealed(client_id, name, {"values": dict(values), "plain": sorted(plain)})
        now = datetime.now(UTC)
        row = {"secret": secret, "key_id": made_by, "updated_at": now}
        with self._database.write("credential") as connection:
            connection.execute(select(Client.id).where(Client.id == client_id).with_for_update())
            there = (Credential.client_id == client_id, Credential.name == name)
            is_new = not connection.execute(update(Credential).where(*there).values(**row)).rowcount
            if is_new:
                new = {"client_id": client_id, "name": name, "created_at": now, **row}
                connection.execute(insert(Credential).values(**new))
            note(connection, "credential.put", f"client/{slug}/{name}")
        return Stored(is_new, [key for key, value in values.items() if key not in plain and _is_short(value)])

    def listing(self, slug: str) -> list[Row[Any]]:
        """Names and dates. Raises NotFound."""
        query = select(*_LISTED).where(Credential.client_id == self._client(slug)).order_by(Credential.name)
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def find(self, slug: str, name: str) -> Row[Any]:
        """Likewise, of one. Raises NotFound."""
        for row in self.listing(slug):
            if row.name == name:
                return row
        raise NotFound("credential", name)

    def delete(self, slug: str, name: str) -> None:
        """Raises NotFound."""
        self.find(slug, name)
        with self._database.write("credential") as connection:
            there = (Credential.client_id == self._client(slug), Credential.name == name)
            connection.execute(delete(Credential).where(*there))
            note(connection, "credential.delete", f"client/{slug}/{name}")

    def everything(self) -> dict[str, Credentials]:
        """Of every client, by slug; for those who look whether any of it has leaked. Raises Unreadable."""
        with self._database.read() as connection:
            clients = connection.execute(select(Client.id, Client.slug).order_by(Client.id)).all()
        return {row.slug: self.of_client(row.id) for row in clients}

    def check(self) -> None:
        """Raises NotReady where something is stored that no key of this process decrypts."""
        with self._database.read() as connection:
            made_by = set(connection.execute(select(Credential.key_id).distinct()).scalars())
        unknown = made_by - {key_id(key) for key in self._keyring.keys} if made_by else set()
        if unknown:
            raise NotReady(
                f"Credentials are stored under keys that are missing here ({', '.join(sorted(unknown))}): set "
                "ENCRYPTION_KEYS, or put the key file back beside the database"
            )

    def rotate(self) -> tuple[int, int]:
        """Encrypt everything with the first key. Answers how many were, and how many had been already. What is cut
        short goes on where it was. Raises Unreadable.
        """
        done = 0
        with self._database.read() as connection:
            rows = connection.execute(select(*Credential.__table__.columns)).all()
        newest = key_id(self._keyring.keys[0]) if rows and self._keyring.keys else None
        for row in rows:
            if row.key_id != newest:
                secret, made_by = self._sealed(row.client_id, row.name, self._open(row, row.client_id))
                done += self._replace(row, secret, made_by)
        return done, len(rows) - done

    def _replace(self, row: Row[Any], secret: str, made_by: str) -> int:
        """Unless somebody has just stored another."""
        same = update(Credential).where(Credential.id == row.id, Credential.secret == row.secret)
        with self._database.write("rotate") as connection:
            return connection.execute(same.values(secret=secret, key_id=made_by)).rowcount

    def _client(self, slug: str) -> int:
        query = select(Client.id).where(Client.slug == slug)
        with self._database.read() as connection:
            found = connection.execute(query).scalar() if slug.isprintable() else None
        if found is None:
            raise NotFound("client", slug)
        return int(found)

    def _taken(self, client_id: int, name: str, values: Mapping[str, Any]) -> list[Problem]:
        """They all lie side by side under the context: two of a name could not both be seen."""
        query = select(Credential.name, Credential.secret).where(Credential.client_id == client_id)
        with self._database.read() as connection:
            others = connection.execute(query.where(Credential.name != name)).all()
        taken = {key: other.name for other in others for key in self._open(other, client_id)["values"]}
        return [
            Problem(pointer_to([key]), f"the credential {taken[key]!r} has a value of this name already")
            for key in values
            if key in taken
        ]

    def _sealed(self, client_id: int, name: str, content: Context) -> tuple[str, str]:
        return self._keyring.encrypt(json.dumps({**content, "client": client_id, "name": name}).encode())

    def _open(self, row: Any, client_id: int) -> Context:
        opened = self._keyring.decrypt(row.secret)
        content: Context = json.loads(opened) if opened is not None else {}
        if (content.get("client"), content.get("name")) != (client_id, row.name):
            with self._database.read() as connection:
                slug = _slug(connection, client_id)
            raise Unreadable(row.name, slug)
        return content


def _slug(connection: Connection, client_id: int) -> str:
    return str(connection.execute(select(Client.slug).where(Client.id == client_id)).scalar())


def _problems(name: str, values: Mapping[str, Any], plain: Collection[str]) -> list[Problem]:
    """Never says what a value is."""
    problems = []
    if not NAME.fullmatch(name):
        problems.append(Problem("", "expected a name of letters, digits, _ . and -, 100 at most"))
    if not 0 < len(values) <= MAX_KEYS:
        problems.append(Problem("", f"expected an object with 1 to {MAX_KEYS} values"))
    for key, value in values.items():
        if not KEY.fullmatch(key):
            problems.append(Problem(pointer_to([key]), "expected a name of letters, digits and _, 100 at most"))
        if key == "client_slug":
            problems.append(Problem(pointer_to([key]), "nodes find the client's own slug under this name"))
        problems += _problems_of_value(key, value)
    problems += [Problem("", f"plain names {key!r}, which is not there") for key in plain if key not in values]
    return problems


def _problems_of_value(key: str, value: Json) -> list[Problem]:
    if value is not None and not isinstance(value, str | int | float):
        return [Problem(pointer_to([key]), "expected a text, a number, true, false or null: credentials are flat")]
    try:
        plain_object({key: value}, max_bytes=MAX_VALUE_BYTES)
    except ValueRefused as refused:
        return list(refused.problems)
    return []


def _is_short(value: Json) -> bool:
    """A switch is not a secret; an empty text is none either."""
    is_secret = value is not None and not isinstance(value, bool) and value != ""
    return is_secret and not forms_of(value)
