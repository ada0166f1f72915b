"""An application for each test, and one that the tests of refusals share: they leave nothing behind in it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.door import serving
from tests.api.functions import GATE


@dataclass(frozen=True)
class Door:
    client: TestClient
    database_url: str


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    with serving(database_url) as client:
        yield client
        GATE.opened.set()  # what is still behind it would hold up the end


@pytest.fixture
def gate() -> Iterator[None]:
    """Closed for this test, open again whatever happens in it."""
    GATE.opened.clear()
    yield
    GATE.opened.set()
    for count in (GATE.reached, GATE.left):
        while count.acquire(blocking=False):
            pass


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One application for a whole module of refusals."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        url = f"sqlite:///{shutil.copyfile(template, tmp_path_factory.mktemp('door') / 'nova.db')}"
        with serving(url) as client:
            yield Door(client, url)
        return
    postgres, name = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
    with postgres.fresh_database(name) as url, serving(url) as client:
        yield Door(client, url)
