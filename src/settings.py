"""Every setting: its type, unit, default, and why the default is what it is. The only reader of the environment."""

import ipaddress
import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from src.database import normalise
from src.logs import Format
from src.outside.guard import Allowed
from src.outside.models import Models, read_prices
from src.sandbox.executor import Level
from src.triggers.platform import limit_seconds

MAX_PORT = 65_535
KEY = re.compile(r"[A-Za-z0-9_-]{43}=", re.ASCII)
"""32 bytes."""
LOCAL_REDIS = "redis://localhost:6379/0"


def _parts(value: str | list[str]) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _ports(value: str | list[int]) -> list[int]:
    if not isinstance(value, str):
        return value
    wrong = [part for part in _parts(value) if not (part.isdecimal() and 0 < int(part) <= MAX_PORT)]
    if wrong:
        raise ValueError(f"expected port numbers with commas between, got {', '.join(wrong)}")
    return [int(part) for part in _parts(value)]


def _read_by(read: Callable[[str], object]) -> AfterValidator:
    """Kept as it was written, once `read` has understood it."""

    def understood(text: str) -> str:
        read(text)
        return text

    return AfterValidator(understood)


Parts = Annotated[list[str], NoDecode, BeforeValidator(_parts)]
Ports = Annotated[list[int], NoDecode, BeforeValidator(_ports)]
"""Both are written with commas between."""


class Settings(BaseSettings):
    """Read once at start. A wrong value stops the process with a sentence."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: Annotated[str, _read_by(normalise)] = "sqlite:///nova.db"
    """Where everything is kept. A file beside the process: nothing to install. PostgreSQL for more than one machine."""

    database_pool_size: int = Field(20, ge=1)
    """Connections that are kept, and as many again for a peak. Two processes stay under a small PostgreSQL's 100."""

    database_patience_seconds: float = Field(60.0, ge=0)
    """How long a finished output waits in memory for a database that has gone away. Restarts take seconds."""

    host: str = "127.0.0.1"
    """What `python -m src serve` listens on. Loopback: nothing is open to others until somebody says so."""

    port: int = Field(8000, ge=0, le=65_535)
    """What `python -m src serve` listens on."""

    keep_runs_days: float = Field(90.0, ge=0)
    """Finished runs are deleted after so long, with all that is theirs. A quarter is what most audits ask for; 0 keeps
    them for ever."""

    keep_events_days: float = Field(30.0, ge=0)
    """Events of finished runs (paused, reviewed ...) are deleted after so long; those that `verify` counts stay."""

    log_format: Format = "auto"
    """How lines to stdout look: `json`, an object a line, for machines; `console`, for eyes. `auto`: for eyes on a
    terminal, for machines elsewhere."""

    nova_functions: Parts = []
    """Modules whose public functions `function` nodes may call, with commas between. None: nothing is callable."""

    inline_threads: int = Field(64, ge=1)
    """Executions that run at once in this process. Nodes mostly wait for others, so many more than cores."""

    inline_backlog: int = Field(256, ge=0)
    """Executions that wait for a thread before more are refused with 503. About what 64 threads finish in 10 s."""

    inline_budget_seconds: float = Field(25.0, ge=0, le=3600)
    """How long a request waits for its run before it answers 202 and the run goes on behind it. Heroku's router gives
    up after 30 s; a platform with a longer patience may have more."""

    background_threads: int = Field(16, ge=1)
    """Executions behind requests that run at once in this process, where no workers are."""

    slice_seconds: float = Field(480.0, gt=0)
    """How long a worker, or a thread behind a request, keeps one execution before others get a turn. At the end of it
    the execution goes back into the queue. Below the workers' own limit, so that it is never cut off by that."""

    slice_nodes: int = Field(200, ge=1)
    """The same, in nodes."""

    sweep_seconds: float = Field(5.0, gt=0)
    """How often every process looks for what is due: leases past their time, what nobody was told of."""

    shutdown_grace_seconds: float = Field(8.0, ge=0)
    """How long nodes in flight may go on after SIGTERM; then their executions are others'. Heroku kills after 30 s,
    Railway after its drainingSeconds."""

    platform: Annotated[str, _read_by(limit_seconds)] = "heroku"
    """What stands before the web process and gives up on a request: `heroku`, `cloudflare`, `railway`, or a number of
    seconds. The triggers measure runs by it. The strictest: who is well there is well everywhere."""

    use_celery: Literal["true", "false", "auto"] = "auto"
    """The switch. `auto`: on where a broker is named. `false` is the way back, whatever else is set: what is queued
    then runs in the web processes."""

    redis_url: str = ""
    """The broker, as Railway and Heroku name it: redis:// or rediss://."""

    celery_broker_url: str = ""
    """The broker, where it is not REDIS_URL."""

    celery_result_backend: str = ""
    """For those who want `AsyncResult(task_id)` to tell a state; Nova itself reads its rows. Empty: none."""

    celery_result_expires_seconds: int = Field(3600, ge=1)
    """How long that state is kept."""

    broker_verify_tls: bool | None = None
    """Whether the certificate of a rediss:// broker is verified. Without it: yes, but for Heroku's, which signs its
    own."""

    queue_fallback: Literal["local", "wait"] = "local"
    """What happens to queued executions while the broker does not answer or no worker lives: they run in the web
    processes, so that work slows down and does not stop; or they wait."""

    worker_queues: Parts = []
    """Queues that a worker serves beside the default one when it is started without -Q, with commas between."""

    worker_soft_limit_seconds: float = Field(540.0, gt=0)
    """A node that is in flight on a worker when its task has run for so long fails. A fuse: nodes have time-outs."""

    worker_hard_limit_seconds: float = Field(600.0, gt=0)
    """Then Celery kills the process. Its execution goes on elsewhere from its last checkpoint."""

    worker_max_tasks_per_child: int = Field(500, ge=1)
    """After so many tasks a worker replaces its process: slow leaks of libraries end with it."""

    remap_sigterm: str = ""
    """Read by Celery, before Nova: with SIGQUIT, a SIGTERM that reaches every process of a worker (as Heroku sends it)
    does not cut its runs off. Nova only warns where it is missing."""

    worker_deaf_seconds: float = Field(120.0, gt=0)
    """A worker that is idle while work has waited for so long, and that no message has reached, ends itself: its
    platform starts it anew. Celery is known to go deaf after a reconnect now and then."""

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

    code_executor: Literal["local", "e2b"] = "local"
    """Where the code of workflow authors runs: behind walls on this machine, or in a microVM at E2B for each execution,
    for those who share no kernel. Where that is not to be had, no code runs."""

    e2b_api_key: SecretStr = SecretStr("")
    """For CODE_EXECUTOR=e2b, which needs the package `e2b`, too."""

    sandbox_packages: Parts = ["pypdf"]
    """Packages that code may import beside the standard library, with commas between: by import name, dependencies too.
    The examples read PDF files; every package is loaded ahead and costs memory."""

    sandbox_slots: int | None = Field(None, ge=1, le=64)
    """Snippets that run at once in this process. Without it: twice the cores, at most 8, and what the memory allows."""

    sandbox_kept: int | None = Field(None, ge=0, le=512)
    """Processes that wait for the next snippet of their execution, and see no other's. Without it: 64, or what the
    memory allows. 0: every snippet has a process of its own, for some 5 ms of processor time each."""

    sandbox_network_ports: Ports = [80, 443, 25, 465, 587, 143, 993, 995, 5432, 3306]
    """TCP ports that nodes with `network` may connect to: web, mail and databases. Empty: no node may have it."""

    sandbox_max_memory_mb: int = Field(1024, ge=32, le=65_536)
    """The most that a node's `memory_mb` may ask for. Slots times this must fit into the machine."""

    sandbox_max_timeout_seconds: float = Field(86_400.0, gt=0, le=86_400)
    """The most that the `timeout` of a node with code may ask for: by default what any node may."""

    outbound_allow: Annotated[str, _read_by(lambda places: Allowed.read(_parts(places)))] = ""
    """Where nodes may connect to beyond the internet, with commas between: `crm.internal:8000` is that host on that
    port, `10.2.0.0/16` those addresses. Empty: a workflow's author cannot reach what is behind the firewall."""

    outbound_ports: Ports = [80, 443, 8080, 8443]
    """TCP ports that nodes may call over HTTP. The web's usual ones: no author speaks HTTP to a mail server or a
    database by mistake or on purpose."""

    outbound_max_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    """A larger answer to a node is not taken. What a node may put out is bounded likewise."""

    outbound_breaker_failures: int = Field(5, ge=1)
    """After so many failures in a row a host is left alone for a while, by this process: runs fail fast then, and the
    host can recover. Above the attempts that one node makes."""

    outbound_breaker_seconds: float = Field(30.0, gt=0)
    """For how long."""

    sql_sqlite_folder: str = ""
    """The folder of the SQLite files that `sql` nodes may open. Empty: none, since a file may be anybody's."""

    llm_base_url: str = ""
    """Where `llm`, `agent` and `image` nodes ask that name no `base_url`, such as https://api.openai.com/v1. It may be
    on this machine. Empty: every node must name one."""

    llm_api_key: SecretStr = SecretStr("")
    """For LLM_BASE_URL and for nothing else: a node with a `base_url` of its own does not send it."""

    llm_model: str = ""
    """The model of `llm` and `agent` nodes that name none."""

    llm_image_model: str = ""
    """The model of `image` nodes that name none."""

    llm_prices: Annotated[str, _read_by(read_prices)] = ""
    """What models cost, for the books: `model=0.15/0.60`, US dollars for a million tokens in and out, with commas
    between. Nova knows no prices: they change."""

    api_keys: Literal["auto", "required", "off"] = "auto"
    """Whether requests need a key. `auto`: yes, but for an embedded database on a machine that nobody else reaches.
    `off`: no, for PostgreSQL on such a machine too. Where others can reach the server, keys are needed all the same."""

    nova_api_key: SecretStr = SecretStr("")
    """A key that may do everything: the first one, from which others are made. Where it is set, keys are needed."""

    key_requests_per_minute: int = Field(6000, ge=0)
    """What one key may send to one process: a program in a loop shall not take it from all others. NOVA_API_KEY is the
    operator's own, and not counted. 0: as much as it likes."""

    cors_origins: Parts = []
    """Pages of other sites that may call the API with a key, by their origins. None: only its own page may."""

    encryption_keys: SecretStr = SecretStr("")
    """What the credentials of clients are encrypted with, with commas between: the first for what is new, all of them
    for what is there. Empty: a key file beside an embedded database, and none at PostgreSQL."""

    failpoint: str = ""
    """For tests alone: `name:n` ends the process when the failpoint `name` is reached for the nth time."""

    dyno: str = ""
    """Set by Heroku; tells that the process is open to the internet."""

    railway_environment: str = ""
    """Set by Railway; likewise."""

    @field_validator("redis_url", "celery_broker_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://")):
            raise ValueError("expected a redis:// or rediss:// URL")
        return url

    @field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr) -> SecretStr:
        if not all(KEY.fullmatch(key) for key in _parts(keys.get_secret_value())):
            raise ValueError("expected keys as `python -m src new-key` prints them, with commas between")
        return keys

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if 0 < len(self.nova_api_key.get_secret_value()) < 20:  # noqa: PLR2004 -- what nobody guesses
            raise ValueError("NOVA_API_KEY: expected 20 characters or more")
        return self

    @model_validator(mode="after")
    def _slice_fits(self) -> Self:
        if not self.slice_seconds < self.worker_soft_limit_seconds < self.worker_hard_limit_seconds:
            raise ValueError("expected SLICE_SECONDS < WORKER_SOFT_LIMIT_SECONDS < WORKER_HARD_LIMIT_SECONDS")
        return self

    @property
    def allowed(self) -> Allowed:
        return Allowed.read(_parts(self.outbound_allow))

    @property
    def models(self) -> Models:
        key, prices = self.llm_api_key.get_secret_value(), read_prices(self.llm_prices)
        return Models(self.llm_base_url, key, self.llm_model, self.llm_image_model, prices)

    @property
    def secrets(self) -> dict[str, str]:
        """What must stand in no line of a log."""
        found = {name: value for name, value in self if isinstance(value, SecretStr)}
        parts = {"database_password": normalise(self.database_url).password or ""}
        return {**parts, **{name: value.get_secret_value() for name, value in found.items()}}

    @property
    def asks_for_keys(self) -> bool:
        if self.is_exposed or self.api_keys != "auto":
            return self.is_exposed or self.api_keys == "required"
        is_embedded = normalise(self.database_url).get_backend_name() == "sqlite"
        return not is_embedded or bool(self.nova_api_key.get_secret_value())

    @property
    def cookie_secret(self) -> str:
        """What signs the cookies of browsers; where it is empty they end with the process."""
        return next(iter(self.credential_keys), self.nova_api_key.get_secret_value())

    @property
    def credential_keys(self) -> list[str]:
        return _parts(self.encryption_keys.get_secret_value())

    @property
    def broker_url(self) -> str | None:
        """Where bells are rung; None where the switch is off."""
        url = self.celery_broker_url or self.redis_url
        if self.use_celery == "false" or (self.use_celery == "auto" and not url):
            return None
        return url or LOCAL_REDIS

    @property
    def verifies_tls(self) -> bool:
        return not self.dyno if self.broker_verify_tls is None else self.broker_verify_tls

    @property
    def min_level(self) -> Level:
        return Level(self.sandbox_min_level or (Level.SECCOMP if self.is_exposed else Level.WEAK))

    @cached_property
    def is_exposed(self) -> bool:
        """Others than this machine can reach the server, as far as settings tell."""
        return bool(self.dyno or self.railway_environment) or not is_loopback(self.host)


@lru_cache(1024)
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
        sentences = [
            ": ".join([*(str(part).upper() for part in found["loc"][:1]), found["msg"]]) for found in error.errors()
        ]
        raise SystemExit("Nova cannot start, these settings are wrong:\n  " + "\n  ".join(sentences)) from None
