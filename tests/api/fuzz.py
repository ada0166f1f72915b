"""Requests made from the OpenAPI document, right and wrong. The tests send a share of them; this sends as many as told.

python -m tests.api.fuzz --examples 200 --seed 7     for each operation and each way, on SQLite and PostgreSQL
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from src.database import migrate
from tests import servers
from tests.api.door import Json, execute, function, line, save, serving, transform

Case = schemathesis.Case[Any]
BOTH = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@dataclass(frozen=True)
class Requests:
    document: Json
    modes: Sequence[GenerationMode]
    examples: int
    """For each operation and mode."""
    seed: int | None = None
    """The same requests each time where there is none."""

    def try_all(self, tried: Callable[[Case], None]) -> None:
        """Call it with each."""
        schema = schemathesis.openapi.from_dict(self.document)
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            for mode in self.modes:
                self._try_some(found.ok(), mode, tried)

    def _try_some(self, operation: Any, mode: GenerationMode, tried: Callable[[Case], None]) -> None:
        settings = hypothesis.settings(
            max_examples=self.examples,
            deadline=None,
            derandomize=self.seed is None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        @settings
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def each(case: Case) -> None:
            tried(case)

        with (
            suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext()
        ):  # nothing can be wrong in it
            each() if self.seed is None else hypothesis.seed(self.seed)(each)()


def check(case: Case, answer: Any) -> None:
    """It is no server error, and the document has it."""
    assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"
    if answer.status_code != 405:  # a route that there is not cannot be documented
        case.operation.validate_response(answer)


def send(client: TestClient, case: Case, given: Json | None = None) -> Any:
    body: Any = {} if case.body is NOT_SET else {"content" if isinstance(case.body, bytes) else "json": case.body}
    headers = {name.encode(): str(value).encode(errors="replace") for name, value in (case.headers or {}).items()}
    if given is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != b"authorization"}
        headers |= {name.encode(): value.encode() for name, value in given.items()}
    return client.request(case.method, case.formatted_path, params=case.query or None, headers=headers, **body)


def save_something(client: TestClient) -> None:
    if not client.get("/workflows").json()["total"]:
        execute(client, save(client, line(transform(x=1), function("greet"))))


@contextmanager
def both_databases() -> Iterator[list[TestClient]]:
    with ExitStack() as resources:
        folder = resources.enter_context(tempfile.TemporaryDirectory())
        postgres = resources.enter_context(servers.postgres_cluster())
        postgres.wait_until_ready()
        urls = [f"sqlite:///{Path(folder, 'nova.db')}", resources.enter_context(postgres.fresh_database())]
        for url in urls:
            migrate(url)
        yield [resources.enter_context(serving(url, api_keys="off")) for url in urls]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with both_databases() as clients:
        for client in clients:
            save_something(client)
        for mode in BOTH:
            count = 0

            def tried(case: Case) -> None:
                nonlocal count
                count += 1
                for client in clients:
                    check(case, send(client, case))

            Requests(clients[0].get("/openapi.json").json(), [mode], given.examples, given.seed).try_all(tried)
            print(f"{count} {mode.value} requests on each database: none of their answers was a surprise")


if __name__ == "__main__":
    main()
