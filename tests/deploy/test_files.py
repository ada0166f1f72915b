"""The files of a deployment say the same: one list of commands holds for all of them."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from src.settings import Settings
from tests.deploy import files

FLAGS = "--pool prefork -c N --without-gossip --without-mingle --without-heartbeat -l INFO"
WORKER = shlex.split(f"celery -A src.workers.celery_app worker {FLAGS}")
EXPECTED = {
    "web": ["uvicorn", "src.api.main:app", "--host", "ADDRESS", "--port", "N"],
    "worker": WORKER,
    "worker@": [*WORKER, "-Q", "%i", "-n", "%i@%%h"],
    "beat": ["celery", "-A", "src.workers.celery_app", "beat", "-l", "INFO"],
    "triggers": ["python", "-m", "src", "triggers", "--record"],
    "release": ["python", "-m", "src", "migrate"],
    "migrate": ["python", "-m", "src", "migrate"],
    "flower": ["deploy/flower"],
}
STARTED = [(place, name) for place, started in files.commands().items() for name in started]
GOODBYE_SECONDS = 2
"""What a process may need beyond its grace."""


@pytest.mark.parametrize(("place", "name"), STARTED)
def test_every_file_starts_a_process_by_the_same_command(place: str, name: str) -> None:
    assert files.commands()[place][name] == EXPECTED[name]


def test_every_file_knows_the_processes_that_it_should() -> None:
    known = {place: set(started) for place, started in files.commands().items()}

    assert known == {
        "Procfile": {"web", "worker", "beat", "release"},
        "railway": {"web", "worker", "beat", "triggers"},
        "compose": {"migrate", "web", "worker", "beat", "flower"},
        "Dockerfile": {"web"},
        "supervisor": {"web", "worker", "beat", "flower"},
        "systemd": {"web", "worker", "worker@", "beat", "flower"},
    }


def test_every_worker_is_started_so_that_sigterm_does_not_cut_its_runs_off() -> None:
    systemd = [files.unit(path)["Environment"] for path in files.UNITS if path.name.startswith("nova-worker")]

    assert files.procfile()["worker"].startswith("REMAP_SIGTERM=SIGQUIT ")
    assert files.document(files.RAILWAY["worker"])["deploy"]["startCommand"] == files.procfile()["worker"]
    assert files.compose()["services"]["worker"]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert 'REMAP_SIGTERM="SIGQUIT"' in files.supervisor()["program:nova-worker"]["environment"]
    assert [("REMAP_SIGTERM=SIGQUIT" in environment) for environment in systemd] == [True, True]


def test_nobody_is_killed_before_the_grace_is_over() -> None:
    least = Settings.model_fields["shutdown_grace_seconds"].default + GOODBYE_SECONDS
    services = files.compose()["services"]
    programs = files.supervisor()
    given = [
        *(files.document(files.RAILWAY[name])["deploy"]["drainingSeconds"] for name in ("web", "worker")),
        *(int(services[name]["stop_grace_period"].removesuffix("s")) for name in ("web", "worker")),
        *(programs.getint(f"program:nova-{name}", "stopwaitsecs") for name in ("web", "worker")),
        *(int(files.unit(path)["TimeoutStopSec"][0]) for path in files.UNITS if path.name.startswith("nova-w")),
    ]

    assert len(given) == 9
    assert all(seconds > least for seconds in given)


# Railway and Heroku: what is known of their schemas.

RAILWAY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["$schema", "build", "deploy"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://railway.com/railway.schema.json"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"builder": {"enum": ["RAILPACK", "DOCKERFILE"]}, "dockerfilePath": {"type": "string"}},
        },
        "deploy": {
            "type": "object",
            "required": ["startCommand", "drainingSeconds", "restartPolicyType"],
            "additionalProperties": False,
            "properties": {
                "startCommand": {"type": "string"},
                "preDeployCommand": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1},
                "healthcheckPath": {"type": "string", "pattern": "^/"},
                "healthcheckTimeout": {"type": "number"},
                "drainingSeconds": {"type": "number"},
                "cronSchedule": {"type": "string"},
                "overlapSeconds": {"type": "number"},
                "restartPolicyType": {"enum": ["ON_FAILURE", "ALWAYS", "NEVER"]},
                "restartPolicyMaxRetries": {"type": "number"},
            },
        },
    },
}
TEXT = {"type": "string", "minLength": 1}
HEROKU_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "addons", "formation", "env", "stack", "buildpacks"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z-_.]+"},
        "description": TEXT,
        "keywords": {"type": "array", "items": TEXT},
        "stack": {"enum": ["heroku-22", "heroku-24", "heroku-26"]},
        "buildpacks": {"type": "array", "items": {"type": "object", "required": ["url"], "properties": {"url": TEXT}}},
        "addons": {"type": "array", "items": {"type": "object", "required": ["plan"], "properties": {"plan": TEXT}}},
        "formation": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["quantity"],
                "additionalProperties": False,
                "properties": {"quantity": {"type": "integer", "minimum": 0}, "size": TEXT},
            },
        },
        "env": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["description"],
                "additionalProperties": False,
                "properties": {
                    "description": TEXT,
                    "value": {"type": "string"},
                    "required": {"type": "boolean"},
                    "generator": {"const": "secret"},
                },
            },
        },
    },
}


@pytest.mark.parametrize("name", files.RAILWAY)
def test_railway_can_read_its_files(name: str) -> None:
    jsonschema_rs.validate(RAILWAY_SCHEMA, files.document(files.RAILWAY[name]))


def test_only_the_web_service_of_railway_migrates_and_is_asked_for_its_health() -> None:
    fields = {name: set(files.document(path)["deploy"]) for name, path in files.RAILWAY.items()}

    for name in ("preDeployCommand", "healthcheckPath"):
        assert [service for service in fields if name in fields[service]] == ["web"]
    assert files.document(files.RAILWAY["web"])["deploy"]["preDeployCommand"] == [files.procfile()["release"]]


def test_heroku_can_read_its_file_and_knows_every_process() -> None:
    app = files.document(files.ROOT / "app.json")

    jsonschema_rs.validate(HEROKU_SCHEMA, app)
    assert app["formation"].keys() == files.procfile().keys() - {"release"}
    assert {addon["plan"].partition(":")[0] for addon in app["addons"]} == {"heroku-postgresql", "heroku-redis"}
    assert app["env"].keys() - {"WORKER_CONCURRENCY"} <= {name.upper() for name in Settings.model_fields}


# Docker.


def test_the_image_is_not_roots_holds_no_secret_and_has_the_python_of_the_checkout() -> None:
    lines = (files.DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    python = (files.ROOT / ".python-version").read_text().strip()

    assert [line.split()[1] for line in lines if line.startswith("FROM ")] == [f"python:{python}-slim"] * 2
    assert [line.split()[1].partition(":")[0] != "0" for line in lines if line.startswith("USER ")] == [True]
    assert not [line for line in lines if re.match(r"(ARG|ENV)\b.*(PASSWORD|SECRET|KEY|TOKEN|URL)", line)]
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    ignored = (files.DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{each}" for each in copied} <= set(ignored)
    assert all((files.ROOT / each).exists() for each in copied)
    assert "*" in ignored


def test_compose_waits_for_health_and_migrations() -> None:
    services = files.compose()["services"]

    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] in ("service_healthy", "service_completed_successfully")
            assert (how["condition"] == "service_healthy") == ("healthcheck" in services[needed]), (name, needed)
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_composes_redis_keeps_every_message() -> None:
    command = files.compose()["services"]["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_compose_opens_no_port_to_others_and_knows_no_password() -> None:
    services = files.compose()["services"]

    published = [port for service in services.values() for port in service.get("ports", [])]
    assert all(re.match(r"(127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}):", port) for port in published)
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|AUTH", name):
                assert value == f"${{{name}:-}}"


def docker_compose() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], check=False, capture_output=True).returncode == 0
        ):
            return command
    return None


@pytest.mark.skipif(docker_compose() is None, reason="neither `docker compose` nor docker-compose is here")
def test_docker_compose_accepts_its_file() -> None:
    file = files.DEPLOY / "docker-compose.yml"
    profiles = ["--profile", "beat", "--profile", "flower"]

    ended = subprocess.run(
        [*(docker_compose() or []), "-f", file, *profiles, "config", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("password", [None, "", "ada", "ada:", ":lovelace"])
def test_flower_does_not_start_without_a_password(password: str | None, tmp_path: Path) -> None:
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | ({} if password is None else {"FLOWER_BASIC_AUTH": password})

    ended = subprocess.run([files.DEPLOY / "flower"], env=environment, check=False, capture_output=True, text=True)

    assert ended.returncode == 78
    assert "FLOWER_BASIC_AUTH=name:password" in ended.stderr


def test_flower_starts_with_a_password_which_no_command_line_shows(tmp_path: Path) -> None:
    celery = tmp_path / "celery"
    celery.write_text('#!/bin/sh\necho "$@"\n')
    celery.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FLOWER_BASIC_AUTH": "ada:lovelace"}

    ended = subprocess.run([files.DEPLOY / "flower"], env=environment, check=False, capture_output=True, text=True)

    assert ended.stdout.split() == ["-A", "src.workers.celery_app", "flower"]


# One machine.


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_accepts_its_units(tmp_path: Path) -> None:
    """It looks for the programs too: they stand in for those of an installation in /opt/nova."""
    copies = []
    for path in files.UNITS:
        text = path.read_text(encoding="utf-8")
        for program in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
            stand_in = tmp_path / program.lstrip("/")
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            stand_in.write_text("#!/bin/sh\n")
            stand_in.chmod(0o755)
        copies.append(tmp_path / path.name)
        copies[-1].write_text(text.replace("/opt/nova", f"{tmp_path}/opt/nova"))

    ended = subprocess.run(["systemd-analyze", "verify", *copies], check=False, capture_output=True, text=True)

    said = [line for line in ended.stderr.splitlines() if "nova" in line]
    assert (ended.returncode, said) == (0, [])


@pytest.mark.parametrize("path", files.UNITS, ids=lambda path: path.name)
def test_every_unit_leaves_the_sandbox_its_own_walls(path: Path) -> None:
    """Without the last of these calls snippets run at level `seccomp` under such a unit, not `full`."""
    unit = files.unit(path)

    allowed = {name for line in unit["SystemCallFilter"] for name in line.split()}
    assert {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= allowed
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["User"] == ["nova"]


def test_supervisor_starts_no_beat_and_no_flower_by_itself() -> None:
    programs = files.supervisor()

    names = [section for section in programs.sections() if section.startswith("program:")]
    assert {name for name in names if not programs.getboolean(name, "autostart", fallback=True)} == {
        "program:nova-beat",
        "program:nova-flower",
    }
    assert {f"program:{name}" for name in programs["group:nova"]["programs"].split(",")} == set(names)


def test_commands_in_the_document_are_those_of_the_files() -> None:
    page = (files.ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")

    for command in re.findall(r"celery -A (\S+)", page):
        assert command == "src.workers.celery_app"
    named = re.findall(r"`(WORKER_QUEUES|WORKER_CONCURRENCY|USE_CELERY|SHUTDOWN_GRACE_SECONDS|BROKER_VERIFY_TLS)", page)
    assert len(set(named)) == 5
    assert shlex.join(EXPECTED["release"]) in page
