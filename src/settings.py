"""Every setting: its type, unit, default, and why the default is what it is. The only reader of the environment."""

import ipaddress
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from src.database import normalise
from src.sandbox.executor import Level

MAX_PORT = 65_535


class Settings(BaseSettings):
    """Read once at start. A wrong value stops the process with a sentence."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: str = "sqlite:///nova.db"
    """Where everything is kept. A file beside the process: nothing to install. PostgreSQL for more than one machine."""

    database_pool_size: int = Field(20, ge=1)
    """Connections that are kept, and as many again for a peak. Two processes stay under a small PostgreSQL's 100."""

    database_patience_seconds: float = Field(60.0, ge=0)
    """How long a finished output waits in memory for a database that has gone away. Restarts take seconds."""

    host: str = "127.0.0.1"
    """What `python -m src serve` listens on. Loopback: nothing is open to others until somebody says so."""

    port: int = Field(8000, ge=0, le=65_535)
    """What `python -m src serve` listens on."""

    nova_functions: Annotated[list[str], NoDecode] = []
    """Modules whose public functions `function` nodes may call, with commas between. None: nothing is callable."""

    inline_threads: int = Field(64, ge=1)
    """Executions that run at once in this process. Nodes mostly wait for others, so many more than cores."""

    inline_backlog: int = Field(256, ge=0)
    """Executions that wait for a thread before more are refused with 503. About what 64 threads finish in 10 s."""

    node_concurrency: int = Field(8, ge=1)
    """Nodes of one execution that run side by side."""

    lease_seconds: float = Field(30.0, gt=0)
    """How long a runner may be silent before its execution is another's. Renewed at a third of it."""

    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    """A larger request body is refused with 413: a definition of 1,000 nodes has about 200 KiB."""

    max_context_bytes: int = Field(1024 * 1024, ge=1024)
    """The initial context of an execution, about."""

    max_output_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    """What one node may change in the context, about. What is larger belongs into a file store, by name."""

    sandbox_min_level: Literal["full", "seccomp", "weak", "off"] | None = None
    """Code of workflow authors runs behind walls of this level or stronger, or not at all. Without it: `seccomp` where
    others than this machine can reach the server, `weak` elsewhere, so that a laptop without walls can run examples."""

    sandbox_packages: str = "pypdf"
    """Packages that code may import beside the standard library, with commas between: by import name, dependencies too.
    The examples read PDF files; every package is loaded ahead and costs memory."""

    sandbox_slots: int | None = Field(None, ge=1, le=64)
    """Snippets that run at once in this process. Without it: twice the cores, at most 8, and what the memory allows."""

    sandbox_network_ports: str = "80,443,25,465,587,143,993,995,5432,3306"
    """TCP ports that nodes with `network` may connect to: web, mail and databases. Empty: no node may have it."""

    sandbox_max_memory_mb: int = Field(1024, ge=32, le=65_536)
    """The most that a node's `memory_mb` may ask for. Slots times this must fit into the machine."""

    sandbox_max_timeout_seconds: float = Field(86_400.0, gt=0, le=86_400)
    """The most that the `timeout` of a node with code may ask for: by default what any node may."""

    failpoint: str = ""
    """For tests alone: `name:n` ends the process when the failpoint `name` is reached for the nth time."""

    dyno: str = ""
    """Set by Heroku; tells that the process is open to the internet."""

    railway_environment: str = ""
    """Set by Railway; likewise."""

    @field_validator("database_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        normalise(url)
        return url

    @field_validator("nova_functions", mode="before")
    @classmethod
    def _split(cls, value: str | list[str]) -> list[str]:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("sandbox_network_ports")
    @classmethod
    def _are_ports(cls, ports: str) -> str:
        wrong = [part for part in _parts(ports) if not (part.isdecimal() and 0 < int(part) <= MAX_PORT)]
        if wrong:
            raise ValueError(f"expected port numbers with commas between, got {', '.join(wrong)}")
        return ports

    @property
    def network_ports(self) -> list[int]:
        return [int(part) for part in _parts(self.sandbox_network_ports)]

    @property
    def packages(self) -> list[str]:
        return _parts(self.sandbox_packages)

    @property
    def min_level(self) -> Level:
        return Level(self.sandbox_min_level or (Level.SECCOMP if self.is_exposed else Level.WEAK))

    @cached_property
    def is_exposed(self) -> bool:
        """Others than this machine can reach the server, as far as settings tell."""
        return bool(self.dyno or self.railway_environment) or not is_loopback(self.host)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def is_loopback(host: str) -> bool:
    """A name or address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_settings() -> Settings:
    """The settings of this process, or the end of it with a sentence for each that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        sentences = [f"{str(found['loc'][0]).upper()}: {found['msg']}" for found in error.errors()]
        raise SystemExit("Nova cannot start, these settings are wrong:\n  " + "\n  ".join(sentences)) from None
