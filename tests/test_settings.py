"""Settings: read once from the environment, checked, and wrong ones named in sentences."""

from typing import Any

import pytest
from pydantic import ValidationError

from src.settings import Settings, is_loopback, read_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_an_environment_nova_keeps_a_file_and_listens_to_this_machine_alone() -> None:
    settings = Settings()

    assert settings.database_url == "sqlite:///nova.db"
    assert settings.host == "127.0.0.1"
    assert settings.nova_functions == []
    assert not settings.is_exposed


def test_every_setting_is_read_from_the_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        name: {int: 4096, float: 7.5, str: "text"}[type(field.default)]
        for name, field in Settings.model_fields.items()
        if type(field.default) in (int, float, str)
    } | {
        "database_url": "postgresql://host/name",
        "redis_url": "redis://host/1", "celery_broker_url": "rediss://host/2", "use_celery": "true",
        "platform": "railway", "queue_fallback": "wait", "slice_seconds": 5.5, "worker_hard_limit_seconds": 9.5,
        "log_format": "json", "code_executor": "e2b", "api_keys": "required",
        "outbound_allow": "crm.internal:80", "llm_prices": "small=1/2",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name.upper(), str(value))

    settings = Settings()

    assert {name: getattr(settings, name) for name in given} == given


LISTS = [name for name, field in Settings.model_fields.items() if isinstance(field.default, list)]


@pytest.mark.parametrize("name", LISTS)
def test_the_parts_of_a_list_stand_with_commas_between(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), " 443, 25 ,,")

    assert getattr(Settings(), name) == ([443, 25] if name.endswith("ports") else ["443", "25"])


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_has_no_parts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), "")

    assert getattr(Settings(), name) == []


@pytest.mark.parametrize(
    "url",
    ["sqlite:///a.db", "sqlite:////tmp/a.db", "postgres://u:p@h/d", "postgresql://h/d", "postgresql+psycopg2://h/d"],
)
def test_a_database_may_be_sqlite_or_postgresql(url: str) -> None:
    assert Settings(database_url=url).database_url == url


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://h/d", "sqlite://", "mongodb://h", "http://h/d", "sqlite"])
def test_another_database_is_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValidationError, match="expected a"):
        Settings(database_url=url)


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@h:port/d", "postgresql://u:hunter2@[::1/d"])
def test_a_database_url_that_does_not_parse_is_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValidationError, match="expected a"):
        Settings(database_url=url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "-1"), ("port", "65536"), ("port", "http"), ("database_pool_size", "0"), ("inline_threads", "0"),
        ("inline_backlog", "-1"), ("node_concurrency", "0"), ("lease_seconds", "0"), ("lease_seconds", "nan"),
        ("max_body_bytes", "10"), ("max_context_bytes", "0"), ("max_output_bytes", "x"), ("database_url", "x"),
        ("database_patience_seconds", "-1"), ("sandbox_network_ports", "80,http"), ("sandbox_network_ports", "0"),
        ("sandbox_min_level", "strong"), ("sandbox_slots", "0"), ("sandbox_max_memory_mb", "1"),
    ],
)  # fmt: skip
def test_a_wrong_value_ends_the_process_with_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)

    with pytest.raises(SystemExit) as ended:
        read_settings()

    assert str(ended.value).startswith("Nova cannot start")
    assert name.upper() in str(ended.value)


def test_what_is_not_a_setting_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVA_SURPRISE", "1")

    assert read_settings() == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "port", 1)  # noqa: B010 -- what mypy would refuse


@pytest.mark.parametrize(
    ("given", "exposed"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.2"}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.0.2.1"}, True),
        ({"host": "nova.example"}, True),
        ({"host": ""}, True),
        ({"dyno": "web.1"}, True),
        ({"railway_environment": "production"}, True),
    ],
)
def test_a_server_is_exposed_where_others_can_reach_it(given: dict[str, Any], exposed: bool) -> None:
    assert Settings(**given).is_exposed is exposed


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "0", "127.1", "", "1", "LOCALHOST@x"])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({}, "weak"),
        ({"host": "0.0.0.0"}, "seccomp"),
        ({"dyno": "web.1"}, "seccomp"),
        ({"host": "0.0.0.0", "sandbox_min_level": "weak"}, "weak"),
        ({"sandbox_min_level": "full"}, "full"),
    ],
)
def test_code_needs_walls_where_others_can_reach_the_server(given: dict[str, Any], level: str) -> None:
    assert Settings(**given).min_level == level
