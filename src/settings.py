"""Every setting: its type, unit, default, and why the default is what it is. The only reader of the environment."""

import ipaddress
from functools import cached_property
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from src.database import normalise


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
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @cached_property
    def is_exposed(self) -> bool:
        """Others than this machine can reach the server, as far as settings tell."""
        return bool(self.dyno or self.railway_environment) or not is_loopback(self.host)


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
