"""`python -m src doctor`: one line for each thing that is looked at, and what to do where it is wrong."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from src.__main__ import cli
from src.bootstrap import build
from src.doctor import Finding, examine
from src.settings import Settings


def findings(tmp_path: Path, **settings: Any) -> dict[str, Finding]:
    nova = build(Settings(**{"database_url": f"sqlite:///{tmp_path / 'nova.db'}", **settings}))
    try:
        return {found.about: found for found in examine(nova)}
    finally:
        nova.close()


def test_a_sound_installation_has_nothing_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, sandbox_packages="pypdf")

    assert {each.about: each.detail for each in found.values() if each.state == "wrong"} == {}
    assert {"python", "database", "sandbox", "packages", "network", "memory", "door"} <= found.keys()


def test_a_package_that_is_not_installed_is_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, sandbox_packages="pypdf, no_such_package")

    assert found["packages"].state == "wrong"
    assert "no_such_package" in found["packages"].detail
    assert found["packages"].mend


def test_slots_that_fill_the_memory_are_noted(tmp_path: Path) -> None:
    assert findings(tmp_path, sandbox_slots=64, sandbox_max_memory_mb=65_536)["memory"].state == "note"


def test_a_database_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, database_url="postgresql://nobody@127.0.0.1:1/nothing")

    assert found["database"].state == "wrong"


def test_an_open_server_without_walls_is_wrong(tmp_path: Path) -> None:
    assert findings(tmp_path, host="0.0.0.0", sandbox_min_level="weak")["door"].state == "wrong"


@pytest.mark.parametrize(("packages", "status"), [("pypdf", 0), ("no_such_package", 1)])
def test_the_command_ends_with_1_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: str, status: int
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nova.db'}")
    monkeypatch.setenv("SANDBOX_PACKAGES", packages)

    ended = CliRunner().invoke(cli, ["doctor"])

    assert ended.exit_code == status, ended.output
    if sys.platform == "linux":
        assert any(line.startswith("ok    sandbox ") for line in ended.output.splitlines())


# The broker.


def change(redis_url: str, *command: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.execute_command(*command)


def test_without_a_broker_there_is_nothing_to_ask(tmp_path: Path) -> None:
    found = findings(tmp_path)

    assert found["broker"].state == "ok"
    assert not {"eviction", "workers"} & found.keys()


def test_a_broker_that_keeps_every_message_is_sound_and_a_missing_worker_is_noted(
    tmp_path: Path, redis_url: str
) -> None:
    change(redis_url, "CONFIG", "SET", "maxmemory-policy", "noeviction")

    found = findings(tmp_path, redis_url=redis_url)

    assert [found[name].state for name in ("broker", "eviction", "workers")] == ["ok", "ok", "note"]
    assert "REMAP_SIGTERM=SIGQUIT" in found["workers"].mend


def test_a_broker_that_drops_messages_when_it_is_full_is_noted(tmp_path: Path, redis_url: str) -> None:
    change(redis_url, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    found = findings(tmp_path, redis_url=redis_url)

    assert found["eviction"].state == "note"
    assert "allkeys-lru" in found["eviction"].detail


def test_a_broker_that_does_not_tell_its_policy_is_asked_no_further(tmp_path: Path, redis_url: str) -> None:
    """As with hosts that forbid CONFIG; and a password is shown to nobody."""
    change(redis_url, "ACL", "SETUSER", "nova", "on", ">pa55word", "~*", "&*", "+@all", "-config")

    found = findings(tmp_path, redis_url=redis_url.replace("//", "//nova:pa55word@"))

    assert [found[name].state for name in ("broker", "eviction")] == ["ok", "note"]
    assert "pa55word" not in str(found)


def test_a_broker_that_does_not_answer_is_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, redis_url="redis://:pa55word@127.0.0.1:1/0")

    assert found["broker"].state == "wrong"
    assert "USE_CELERY=false" in found["broker"].mend
    assert "pa55word" not in str(found)
