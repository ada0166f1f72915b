"""The files of a deployment, each as what it starts: the name of a process, and its command as a list of words."""

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
JSON_FILES = [ROOT / "app.json", ROOT / "railway.json", *sorted(DEPLOY.glob("*.json"))]
RAILWAY = {
    "web": ROOT / "railway.json",
    "worker": DEPLOY / "railway.worker.json",
    "beat": DEPLOY / "railway.beat.json",
    "triggers": DEPLOY / "railway.triggers.json",
}

Commands = dict[str, list[str]]


def document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit; those that may stand several times are why it is not read by configparser."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def supervisor() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.read_string((DEPLOY / "supervisor.conf").read_text(encoding="utf-8"))
    return parser


def dockerfile_command() -> list[str]:
    (command,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return list(json.loads(command))


def commands() -> dict[str, Commands]:
    """What each file starts: file -> process -> words, without folders, numbers and environment."""
    services = compose()["services"]
    programs = supervisor()
    return {
        "Procfile": {name: _words(command) for name, command in procfile().items()},
        "railway": {name: _words(document(path)["deploy"]["startCommand"]) for name, path in RAILWAY.items()},
        "compose": {name: _plain(service["command"]) for name, service in services.items() if "build" in service},
        "Dockerfile": {"web": _plain(dockerfile_command())},
        "supervisor": {
            section.removeprefix("program:nova-"): _words(programs[section]["command"])
            for section in programs.sections()
            if section.startswith("program:")
        },
        "systemd": {path.stem.removeprefix("nova-"): _words(unit(path)["ExecStart"][0]) for path in UNITS},
    }


def _words(command: str) -> list[str]:
    return _plain(shlex.split(command))


def _plain(words: list[str]) -> list[str]:
    return [_without_details(word) for word in words if not re.match(r"[A-Z_]+=", word)]


def _without_details(word: str) -> str:
    if re.fullmatch(r"\d+|\$\{?\w+(:-\d+)?\}?", word):
        return "N"
    if word in ("0.0.0.0", "127.0.0.1"):
        return "ADDRESS"
    return word.removeprefix("/opt/nova/.venv/bin/").removeprefix("/opt/nova/")
