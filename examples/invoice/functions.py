"""The team's own code for the invoice example: reads mails from `inbox/`, keeps invoices in the client's SQLite file.

Nova registers the public functions of this module when `NOVA_FUNCTIONS=examples.invoice.functions`.
"""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

Context = dict[str, Any]

_INBOX = Path(__file__).parent / "inbox"
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def fetch_mail(context: Context) -> Context:
    """Read the mail that `context["mail"]` names.

    `raw_mail` holds a character per byte (Latin-1): `.encode("latin-1")` gives back exactly what was received.

    Raises:
        ValueError: the inbox has no mail of that name.
    """
    mail = context.get("mail")
    names = sorted(path.name for path in _INBOX.glob("*.eml"))
    if mail not in names:  # comparing with the listing also keeps paths such as "../x.eml" out
        raise ValueError(f"The inbox has no mail {mail!r}; it has {', '.join(names)}.")
    return {"raw_mail": (_INBOX / mail).read_bytes().decode("latin-1")}


def save_invoice(context: Context) -> Context:
    """Write the invoice into the client's table `invoices`."""
    return {"outcome": "saved", **_keep("invoices", context)}


def add_to_review_list(context: Context) -> Context:
    """Write the invoice into the client's table `review_list`, for somebody to look at before it is paid."""
    return {"outcome": "review", **_keep("review_list", context)}


def _keep(table: str, context: Context) -> Context:
    """One row per sender and invoice number, however often it is called: a node in flight at a crash runs again."""
    path = _database_path(context)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(
            f"""CREATE TABLE IF NOT EXISTS {table} (
                id INTEGER PRIMARY KEY, sender TEXT NOT NULL, invoice_number TEXT NOT NULL,
                total REAL NOT NULL, currency TEXT NOT NULL, subject TEXT, received_at TEXT,
                saved_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (sender, invoice_number))"""
        )
        [(row_id,)] = database.execute(
            f"""INSERT INTO {table} (sender, invoice_number, total, currency, subject, received_at)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (sender, invoice_number) DO UPDATE SET total = excluded.total, currency = excluded.currency
                RETURNING id""",
            (
                context.get("sender") or "",
                context["invoice_number"],
                context["total"],
                context["currency"],
                context.get("subject"),
                context.get("received_at"),
            ),
        )
    return {"saved_to": str(path), "saved_as": row_id}


def _database_path(context: Context) -> Path:
    client = context.get("client", "acme")
    if not isinstance(client, str) or not _SLUG.fullmatch(client):
        raise ValueError(f"The client must be a slug such as 'acme' or 'north-shop', not {client!r}.")
    return Path(os.environ.get("INVOICE_DATA", "data/invoices")) / f"{client}.db"
