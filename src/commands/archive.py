"""`export` and `import`: a run as one JSON file."""

import json
from pathlib import Path

import click

from src.commands.parts import ID, opened
from src.runtime.archive import Archive


@click.command()
@click.argument("execution_id", type=ID)
@click.option("--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="A file; without it, stdout.")
def export(execution_id: int, file: Path | None) -> None:
    """Write a run that has ended as one JSON document: its graph, rows, events, reviews and big values."""
    with opened() as nova:
        text = json.dumps(Archive(nova.database).export(execution_id), ensure_ascii=False)
    if file is None:
        click.echo(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}") from None


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def take_in(file: Path) -> None:
    """Take in a run that another Nova has exported: to look at and to verify; it does not run."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file} is not JSON that can be read: {error}") from None
    if not isinstance(document, dict):
        raise click.ClickException(f"{file} is not an exported run.")
    with opened() as nova:
        execution_id = Archive(nova.database).take_in(document)
    click.echo(f"Execution {execution_id}: python -m src show {execution_id}")
