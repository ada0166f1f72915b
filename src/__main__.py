"""The command line: `python -m src --help`."""

import base64
import json
from pathlib import Path
from typing import Any

import click

from src import terminal
from src.bootstrap import build
from src.commands.archive import export, take_in
from src.commands.control import pause, rerun, resume, retry, stop
from src.commands.keys import keys, new_key, rotate_keys
from src.commands.leaks import leak_scan
from src.commands.parts import ID, key_value, opened, see_through, split_pair, started
from src.commands.schedules import schedules
from src.commands.triggers import advise, triggers
from src.core.about import about
from src.core.errors import Invalid, NovaError
from src.core.status import Status
from src.database import migrate as migrate_database
from src.doctor import examine
from src.logs import take_over_uvicorn, write_logs
from src.runtime.search import Filter
from src.settings import read_settings


class Commands(click.Group):
    """Shows Nova's own errors as sentences; a traceback is for mistakes of ours."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with about(actor="command line"):
                return super().invoke(context)
        except Invalid as error:
            lines = [f"  {found.pointer or '/'}: {found.detail}" for found in error.problems]
            raise click.ClickException("\n".join([f"{error.summary}:", *lines])) from None
        except NovaError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands)
def cli() -> None:
    """Nova runs workflows: JSON graphs, durably, in SQLite or PostgreSQL (DATABASE_URL)."""


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="A context value: JSON, or else text.")
@click.option("--file", "files", multiple=True, metavar="KEY=PATH", help="A file's text (or base64) as context value.")
def run(file: Path, values: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Run the definition in FILE and print its result as JSON. Exits with 1 if the run fails."""
    context = {**dict(map(key_value, values)), **dict(map(_content, files))}
    progress = terminal.Progress()
    with started(progress) as nova:
        draft, warnings = nova.read_draft(_json(file), name=file.stem)
        for warning in warnings:
            click.echo(f"warning: {warning.pointer}: {warning.detail}", err=True)
        workflow_id = nova.workflows.keep(draft)
        with progress.shown():
            execution_id, _ = nova.dispatcher.run_inline(nova.executions.order(workflow_id, context))
            see_through(nova, execution_id)
        found = nova.executions.find(execution_id)
    click.echo(json.dumps(found.result, indent=2, ensure_ascii=False))
    click.echo(f"Execution {found.row.id} {found.row.status}: python -m src show {found.row.id}", err=True)
    if found.row.status != Status.COMPLETED:
        raise SystemExit(1)


@cli.command()
@click.option("--host", help="What to listen on; HOST, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="PORT, or 8000.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the HTTP API."""
    import uvicorn  # noqa: PLC0415 -- only this command pays for the web server

    from src.api.main import create_app  # noqa: PLC0415

    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = read_settings().model_copy(update=changes)
    take_over_uvicorn(settings.log_format)
    app = create_app(settings)
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, access_log=False)


@cli.command()
def workflows() -> None:
    """List the workflows."""
    with opened() as nova:
        terminal.show_workflows(nova.workflows.page(limit=500, skip=0)[0])


@cli.command()
@click.option("--workflow", type=ID, help="Only of the workflow with this id.")
@click.option("--status", type=click.Choice([status.value for status in Status]))
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def executions(workflow: int | None, status: str | None, limit: int) -> None:
    """List executions, newest first."""
    with opened() as nova:
        wanted = Filter(workflow, Status(status) if status else None)
        terminal.show_executions(nova.executions.page(wanted, limit=limit)[0])


@cli.command()
@click.argument("execution_id", type=ID)
def show(execution_id: int) -> None:
    """Show an execution and every attempt at its nodes."""
    with opened() as nova:
        terminal.show_chain(nova.executions.find(execution_id), nova.executions.chain(execution_id))


@cli.command()
@click.argument("execution_id", type=ID, required=False)
@click.option("--all", "everything", is_flag=True, help="Every execution there is.")
def verify(execution_id: int | None, everything: bool) -> None:
    """Check the history of executions against their graphs. Exits with 1 if anything is wrong."""
    if (execution_id is None) != everything:
        raise click.UsageError("expected an EXECUTION_ID or --all")
    with opened() as nova:
        ids = nova.executions.ids() if execution_id is None else [execution_id]
        wrong = [(each, found) for each in ids for found in nova.executions.verify(each)]
        checked, unsealed = len(ids), nova.executions.count_unsealed() if everything else 0
    for each, found in wrong:
        click.echo(f"execution {each}: {found}")
    if unsealed:
        click.echo(f"{unsealed} rows are from before seals: whether they were changed cannot be said")
    click.echo(f"{checked} checked, {len({each for each, _ in wrong})} with something wrong")
    if wrong:
        raise SystemExit(1)


@cli.command()
def doctor() -> None:
    """Examine this installation: a line for each thing, with the mend. Exits with 1 if anything is wrong."""
    nova = build(read_settings())
    try:
        findings = list(examine(nova))
    finally:
        nova.close()
    for found in findings:
        mend = f" -> {found.mend}" if found.mend else ""
        click.echo(f"{found.state:<6}{found.about:<16}{found.detail}{mend}")
    if any(found.state == "wrong" for found in findings):
        raise SystemExit(1)


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = read_settings()
    write_logs(settings.log_format, service="migrate", of="alembic", to="stderr")
    migrate_database(settings.database_url)
    click.echo("The database has the newest schema.")


for command in (
    resume,
    pause,
    stop,
    retry,
    rerun,
    schedules,
    triggers,
    advise,
    export,
    take_in,
    new_key,
    rotate_keys,
    keys,
    leak_scan,
):
    cli.add_command(command)


def _content(pair: str) -> tuple[str, str]:
    key, path = split_pair(pair)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}") from None
    try:
        return key, content.decode()
    except UnicodeDecodeError:
        return key, base64.b64encode(content).decode()


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file} is not JSON that can be read: {error}") from None


if __name__ == "__main__":
    cli()
