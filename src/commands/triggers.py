"""`triggers` and `advise`: is it time for a worker?"""

import json
import sys
from typing import Any

import click

from src import terminal
from src.commands.parts import opened
from src.core.errors import NotReady
from src.models.columns import is_id
from src.nova import Nova
from src.runtime.trigger_checks import record_check
from src.settings import read_settings
from src.triggers.checks import five

SOME_FIRE, COULD_NOT_CHECK = 1, 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As GET /triggers answers.")
@click.option("--sql", is_flag=True, help="Print the queries, and run none.")
@click.option("--record", is_flag=True, help="Keep what was found, for the forecast: once a week.")
def triggers(as_json: bool, sql: bool, record: bool) -> None:
    """Is it time for a worker? Exits with 0 if no trigger fires, 1 if some do, 2 if it could not check."""
    try:
        if sql:
            _print_queries()
            return
        found = _check(record=record)
    except NotReady as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(COULD_NOT_CHECK)
    except SystemExit as end:  # a setting is wrong: not the 1 that means something else here
        click.echo(end.code, err=True)
        sys.exit(COULD_NOT_CHECK)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        terminal.show_triggers(found)
    sys.exit(SOME_FIRE if any(each["fires"] for each in found["triggers"]) else 0)


@click.command()
@click.argument("workflow")
def advise(workflow: str) -> None:
    """Say whether the runs of WORKFLOW (name or id) belong inside the request or on a worker, and why."""
    with opened() as nova:
        row = _find(nova, workflow)
        told = nova.triggers.advise(row.id)
    click.echo(f"{row.name}: {told['run']}")
    for why in told["why"]:
        click.echo(f"  {why}")


def _check(*, record: bool) -> dict[str, Any]:
    with opened() as nova:
        found = nova.triggers.check()
        if record:
            record_check(nova.database, found)
    return found


def _print_queries() -> None:
    for trigger in five(read_settings().platform):
        click.echo(f"-- {trigger.name}: {trigger.title}; fires above {trigger.threshold:g} {trigger.unit}")
        click.echo(f"{trigger.query.strip()};\n")
        click.echo(f"-- the runs behind it\n{trigger.runs_query.strip()};\n")


def _find(nova: Nova, workflow: str) -> Any:
    """By its id or its name."""
    if is_id(workflow):
        return nova.workflows.find(int(workflow))
    return nova.workflows.find_by_name(workflow)
