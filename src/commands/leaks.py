"""`leak-scan`: has any secret got where it must not be?"""

from itertools import chain
from pathlib import Path

import click

from src.commands.parts import opened
from src.nova import Nova
from src.runtime.leaks import Leak, Search


@click.command("leak-scan")
@click.argument("logs", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def leak_scan(logs: tuple[Path, ...]) -> None:
    """Search every table, Redis and the files LOGS for the credentials of all clients, in the forms that Nova knows.
    Exits with 1 if anything is found."""
    with opened() as nova:
        credentials = nova.vault.everything()
        leaks = _leaks(nova, Search({slug: each.mask for slug, each in credentials.items()}), logs)
    for leak in leaks:
        click.echo(f"{leak.client}: {leak.name} stands in {leak.where}")
    secrets = sum(each.mask.count for each in credentials.values())
    verdict = f"{len(leaks)} leaks" if leaks else "no leak"
    click.echo(f"{verdict}: looked for {secrets} secrets of {len(credentials)} clients")
    if leaks:
        raise SystemExit(1)


def _leaks(nova: Nova, search: Search, logs: tuple[Path, ...]) -> list[Leak]:
    found = chain(search.in_tables(nova.database), *(search.in_file(path) for path in logs))
    if nova.settings.broker_url is None:
        return list(found)
    return [*found, *search.in_redis(nova.settings.broker_url, verify_tls=nova.settings.verifies_tls)]
