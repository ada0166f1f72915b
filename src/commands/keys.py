"""Commands about keys: those that credentials are encrypted with."""

import click

from src.commands.parts import opened
from src.runtime import keyring


@click.command("new-key")
def new_key() -> None:
    """Print a new key for ENCRYPTION_KEYS."""
    click.echo(keyring.new_key())


@click.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt all credentials with the first of ENCRYPTION_KEYS. What is cut short goes on where it was."""
    with opened() as nova:
        done, before = nova.vault.rotate()
    click.echo(f"{done} credentials encrypted anew, {before} were before.")
