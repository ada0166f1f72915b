"""Commands about keys: those to the API, and those that credentials are encrypted with."""

import click

from src.commands.parts import opened
from src.runtime import keyring
from src.runtime.keys import Scope


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


@click.group("keys")
def keys() -> None:
    """Who may use the HTTP API."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([each.value for each in Scope]))
@click.option("--client", "client_slug", help="It sees and does nothing that is not this client's.")
def create_key(name: str, scopes: tuple[str, ...], client_slug: str | None) -> None:
    """Make a key and print it. It is shown this once."""
    with opened() as nova:
        _, key = nova.keys.create(name, {Scope(each) for each in scopes}, client_slug=client_slug)
    click.echo(key)


@keys.command("list")
def list_keys() -> None:
    """List the keys, without what is secret of them."""
    with opened() as nova:
        for row in nova.keys.listing():
            state = "revoked" if row.revoked_at else "in use" if row.last_used_at else "not used yet"
            click.echo(f"{row.public_id}  {row.scopes:<24}{row.client_slug or '-':<16}{state:<14}{row.name}")


@keys.command("revoke")
@click.argument("public_id")
def revoke_key(public_id: str) -> None:
    """Refuse a key from now on."""
    with opened() as nova:
        nova.keys.revoke(public_id)
    click.echo(f"{public_id} is refused from now on.")
