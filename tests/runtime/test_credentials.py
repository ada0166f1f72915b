"""What stands in the rows of credentials, who can read it, and what happens when keys change."""

import json
import logging
from pathlib import Path

import pytest
from sqlalchemy import URL

from src.core.errors import NoEncryptionKey, NotReady, Unreadable
from src.database import Database, normalise
from src.runtime.clients import Clients
from src.runtime.credentials import Vault
from src.runtime.keyring import Keyring, key_id, new_key
from tests.runtime.building import change, rows

OLD, NEW = new_key(), new_key()
POSTGRESQL = normalise("postgresql://user:password@host/name")


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def vault(database: Database, *keys: str) -> Vault:
    return Vault(database, Keyring(keys or (OLD,), POSTGRESQL))


@pytest.fixture
def stored(database: Database) -> Vault:
    made = vault(database)
    for slug in ("acme", "bolt"):
        Clients(database).create(slug, slug)
        made.put(slug, "mail", {"email_password": f"password of {slug}"})
    return made


def test_nothing_of_a_credential_can_be_read_in_its_row(stored: Vault, database: Database) -> None:
    [row, _] = rows(database, "SELECT * FROM credentials ORDER BY id")

    assert "password" not in str(row)
    assert row.key_id == key_id(OLD)


def test_every_client_has_its_own(stored: Vault) -> None:
    assert {slug: each.values for slug, each in stored.everything().items()} == {
        slug: {"client_slug": slug, "email_password": f"password of {slug}"} for slug in ("acme", "bolt")
    }


def test_a_row_in_the_place_of_another_is_refused(stored: Vault, database: Database) -> None:
    acme = "SELECT secret FROM credentials WHERE client_id = (SELECT id FROM clients WHERE slug = 'acme')"
    change(database, f"UPDATE credentials SET secret = ({acme})")

    with pytest.raises(Unreadable, match="'bolt'"):
        stored.everything()


def test_a_row_under_another_name_is_refused(stored: Vault, database: Database) -> None:
    change(database, "UPDATE credentials SET name = 'renamed'")

    with pytest.raises(Unreadable, match="'renamed'"):
        stored.everything()


def test_a_row_that_was_changed_is_refused(stored: Vault, database: Database) -> None:
    change(database, "UPDATE credentials SET secret = replace(secret, 'A', 'B')")

    with pytest.raises(Unreadable):
        stored.everything()


def test_rotation_encrypts_all_with_the_first_key(stored: Vault, database: Database) -> None:
    before = stored.everything()

    assert vault(database, NEW, OLD).rotate() == (2, 0)

    assert vault(database, NEW, OLD).rotate() == (0, 2)
    assert [row.key_id for row in rows(database, "SELECT key_id FROM credentials")] == [key_id(NEW)] * 2
    assert {slug: each.values for slug, each in vault(database, NEW).everything().items()} == {
        slug: each.values for slug, each in before.items()
    }


def test_a_rotation_that_was_cut_short_goes_on(stored: Vault, database: Database) -> None:
    [first, _] = rows(database, "SELECT id, secret FROM credentials ORDER BY id")
    vault(database, NEW, OLD).rotate()
    change(
        database,
        "UPDATE credentials SET secret = :s, key_id = :k WHERE id = :i",
        s=first.secret,
        k=key_id(OLD),
        i=first.id,
    )

    assert vault(database, NEW, OLD).rotate() == (1, 1)


def test_a_process_without_the_key_says_so_at_its_start(stored: Vault, database: Database) -> None:
    vault(database, NEW, OLD).check()

    with pytest.raises(NotReady, match=key_id(OLD)):
        vault(database, NEW).check()


def test_without_credentials_no_key_is_needed(database: Database) -> None:
    keyless = Vault(database, Keyring((), POSTGRESQL))

    keyless.check()

    assert keyless.rotate() == (0, 0)
    Clients(database).create("acme", "acme")
    with pytest.raises(NoEncryptionKey):
        keyless.put("acme", "mail", {"email_password": "password of acme"})


def test_a_key_file_is_made_once_and_kept_to_its_owner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url: URL = normalise(f"sqlite:///{tmp_path / 'nova.db'}")
    with caplog.at_level(logging.WARNING):
        secret, made_by = Keyring((), url).encrypt(b"content")

    file = tmp_path / "nova.db.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [record.message for record in caplog.records if str(file) in record.message]
    assert file.read_text().strip() not in caplog.text
    again = Keyring((), url)
    assert again.decrypt(secret) == b"content"
    assert again.encrypt(b"content")[1] == made_by
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nova.db.key"]


def test_named_keys_come_before_the_file(tmp_path: Path) -> None:
    url = normalise(f"sqlite:///{tmp_path / 'nova.db'}")
    secret, _ = Keyring((), url).encrypt(b"content")

    both = Keyring((NEW,), url)

    assert both.decrypt(secret) == b"content"
    assert both.encrypt(json.dumps({}).encode())[1] == key_id(NEW)
