"""`schedules`: list, add, change and run them."""

import json
from typing import Any

import click

from src import terminal
from src.commands.parts import ID, opened
from src.core.schedule import CatchUp, Overlap
from src.runtime.cron import Cron
from src.runtime.schedules import ScheduleDraft


class JsonObject(click.ParamType[dict[str, Any]]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.fail("expected a JSON object", param, ctx)
        return found


@click.group(invoke_without_command=True)
@click.pass_context
def schedules(context: click.Context) -> None:
    """List the schedules; or add, change and run one."""
    if context.invoked_subcommand is None:
        with opened() as nova:
            terminal.show_schedules(nova.schedules.page(limit=500)[0])


@schedules.command()
@click.argument("workflow_id", type=ID)
@click.argument("cron")
@click.option("--timezone", default="UTC", show_default=True)
@click.option("--name")
@click.option("--context", type=JsonObject(), help="The initial context, as a JSON object.")
@click.option("--client", help="The slug of the client that the runs are made for.")
@click.option("--overlap", type=click.Choice([each.value for each in Overlap]), default=Overlap.SKIP.value)
@click.option("--catch-up", type=click.Choice([each.value for each in CatchUp]), default=CatchUp.SKIP.value)
def add(
    workflow_id: int,
    cron: str,
    timezone: str,
    name: str | None,
    context: dict[str, Any] | None,
    client: str | None,
    overlap: str,
    catch_up: str,
) -> None:
    """Run WORKFLOW_ID by the clock: CRON has five fields, such as "30 7 * * MON-FRI"."""
    when = Cron(cron, timezone)
    draft = ScheduleDraft(workflow_id, when, name, context, client, Overlap(overlap), CatchUp(catch_up))
    with opened() as nova:
        schedule_id = nova.schedules.create(draft)
        found = nova.schedules.find(schedule_id)
    click.echo(f"Schedule {schedule_id}: {found.cron.explained()}, {timezone}. Next at {found.row.next_fire_at}.")


@schedules.command()
@click.argument("cron")
@click.option("--timezone", default="UTC", show_default=True)
def preview(cron: str, timezone: str) -> None:
    """Print the next five times of CRON."""
    with opened() as nova:
        for at in nova.schedules.preview(Cron(cron, timezone)):
            click.echo(at.isoformat())


@schedules.command()
@click.argument("schedule_id", type=ID)
def enable(schedule_id: int) -> None:
    """Let a schedule fire again, from its next time on."""
    with opened() as nova:
        nova.schedules.change(schedule_id, {"enabled": True})


@schedules.command()
@click.argument("schedule_id", type=ID)
def disable(schedule_id: int) -> None:
    """Let a schedule rest."""
    with opened() as nova:
        nova.schedules.change(schedule_id, {"enabled": False})


@schedules.command()
@click.argument("schedule_id", type=ID)
def run(schedule_id: int) -> None:
    """Put a run of a schedule into the queue now, for a process that serves."""
    with opened() as nova:
        execution_id = nova.dispatcher.enqueue(nova.schedules.order(schedule_id))
    click.echo(f"Execution {execution_id} is queued: python -m src show {execution_id}")


@schedules.command()
@click.argument("schedule_id", type=ID)
def remove(schedule_id: int) -> None:
    """Delete a schedule; its runs stay."""
    with opened() as nova:
        nova.schedules.delete(schedule_id)
