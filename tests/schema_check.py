"""`python -m tests.schema_check`: do the migrations, from an empty database, give exactly the tables of the models?

The answer is Alembic's own (`alembic upgrade head`, `alembic check`), on SQLite and on PostgreSQL.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import make_url

from tests import servers

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"


def main() -> int:
    with empty_sqlite() as sqlite, empty_postgres() as postgres:
        agree = [agrees(url) for url in (sqlite, postgres)]
    return 0 if all(agree) else 1


def agrees(url: str) -> bool:
    database = make_url(url).get_backend_name()
    config = Config(ALEMBIC_INI, stdout=StringIO())
    config.attributes["url"] = url
    try:
        command.upgrade(config, "head")
        command.check(config)
    except CommandError as error:
        print(f"{database}: {error}")
        return False
    print(f"{database}: the migrations give the tables of the models")
    return True


@contextmanager
def empty_sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/nova.db"


@contextmanager
def empty_postgres() -> Iterator[str]:
    with servers.postgres_cluster() as cluster:
        cluster.wait_until_ready()
        with cluster.fresh_database() as url:
            yield url


if __name__ == "__main__":
    sys.exit(main())
