"""Commands that take a run in hand: go on with it, hold it, end it, run it again."""

import json

import click

from src import terminal
from src.commands.parts import ID, key_value, opened, see_through, started
from src.core.errors import NotReady
from src.core.status import Status
from src.nova import Nova


@click.command()
@click.argument("execution_id", type=ID, required=False)
def resume(execution_id: int | None) -> None:
    """Continue unfinished executions from their last checkpoints: one, also if it is paused, or all that no process
    drives any more.
    """
    with started(terminal.Progress()) as nova:
        free = nova.recover()
        if execution_id is not None:
            free = [_freed(nova, execution_id, free)]
        if not free:
            click.echo("Nothing to resume: no execution is unfinished without a process that drives it.")
        while free:
            for each in free:
                nova.dispatcher.resume_here(each)
                see_through(nova, each)
                click.echo(f"Execution {each} {nova.executions.status(each)}")
            before, free = free, nova.recover() if execution_id is None else []  # an end may have woken others
            if free == before:
                break


@click.command()
@click.argument("execution_id", type=ID)
def pause(execution_id: int) -> None:
    """Hold an execution, and those it has started, at their next node boundaries."""
    with opened() as nova:
        nova.control.pause(execution_id)
        _tell(nova, execution_id)


@click.command()
@click.argument("execution_id", type=ID)
def stop(execution_id: int) -> None:
    """End an execution, and those it has started, for good."""
    with opened() as nova:
        nova.control.stop(execution_id)
        _tell(nova, execution_id)


@click.command()
@click.argument("execution_id", type=ID)
def retry(execution_id: int) -> None:
    """Run again what has failed in an execution, as a new one. Exits with 1 if that fails, too."""
    with started(terminal.Progress()) as nova:
        _run(nova, nova.reruns.retry(execution_id))


@click.command()
@click.argument("execution_id", type=ID)
@click.option("--from", "from_node", required=True, metavar="NODE", help="It and all that comes after it run again.")
@click.option("--latest", is_flag=True, help="By the graph that the workflow has now.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Laid over the initial context.")
def rerun(execution_id: int, from_node: str, latest: bool, values: tuple[str, ...]) -> None:
    """Run a part of an execution again, as a new one. Exits with 1 if that fails."""
    context = dict(map(key_value, values))
    with started(terminal.Progress()) as nova:
        _run(nova, nova.reruns.rerun(execution_id, from_node, latest=latest, context=context))


def _freed(nova: Nova, execution_id: int, free: list[int]) -> int:
    status = nova.executions.status(execution_id)
    if status is Status.PAUSED:
        nova.control.resume(execution_id)
    elif execution_id not in free:
        reason = "its lease has not run out yet" if status is Status.RUNNING else "it has nothing to resume"
        raise NotReady(f"Execution {execution_id} is {status}: {reason}.")
    return execution_id


def _run(nova: Nova, execution_id: int) -> None:
    see_through(nova, execution_id)
    found = nova.executions.find(execution_id)
    click.echo(json.dumps(found.result, indent=2, ensure_ascii=False))
    _tell(nova, execution_id)
    if found.row.status != Status.COMPLETED:
        raise SystemExit(1)


def _tell(nova: Nova, execution_id: int) -> None:
    status = nova.executions.status(execution_id)
    click.echo(f"Execution {execution_id} {status}: python -m src show {execution_id}", err=True)
