"""What an installation lends to the nodes that call something outside."""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cached_property
from typing import TYPE_CHECKING

from src.outside.breaker import Breakers
from src.outside.bridge import Bridge
from src.outside.deadline import Deadline
from src.outside.guard import WEB_PORTS, Allowed, Guard, Resolver, look_up
from src.outside.imap import ImapServer, Search, fetch_mails
from src.outside.models import Models
from src.outside.smtp import SmtpServer, send_mail
from src.outside.sockets import MAIL_PORTS
from src.outside.sql import SQL_PORTS, Sql

if TYPE_CHECKING:
    from src.outside.http import HttpClient


@dataclass(frozen=True)
class Outside:
    """Opens nothing before it is used."""

    allowed: Allowed = field(default_factory=Allowed)
    ports: Iterable[int] = WEB_PORTS
    max_bytes: int = 4 * 1024 * 1024
    breakers: Breakers = field(default_factory=Breakers)
    models: Models = field(default_factory=Models)
    sqlite_folder: str = ""
    """Where SQLite files are that nodes may open; empty: nowhere."""
    resolve: Resolver = look_up
    trust: ssl.SSLContext | None = None
    """Whose certificates are believed; the system's list where nothing is said."""

    @cached_property
    def http(self) -> "HttpClient":
        return self._http(self.allowed)

    @cached_property
    def bridge(self) -> Bridge:
        return Bridge(self)

    @cached_property
    def models_http(self) -> "HttpClient":
        """For the operator's own models alone, wherever they are."""
        return self._http(self.allowed | self.models.allowed)

    @property
    def sql(self) -> Sql:
        return Sql(Guard(self.allowed, ports=SQL_PORTS, resolve=self.resolve), self.sqlite_folder)

    def send_mail(
        self,
        server: SmtpServer,
        message: EmailMessage,
        *,
        sender: str,
        recipients: Sequence[str],
        deadline: Deadline,
    ) -> dict[str, str]:
        """See `smtp.send_mail`."""
        with self.breakers.calling(str(server.place)):
            return send_mail(
                self._mail, server, message, sender=sender, recipients=recipients, deadline=deadline, trust=self.trust
            )

    def fetch_mails(self, server: ImapServer, search: Search, *, deadline: Deadline) -> list[tuple[int, bytes]]:
        """See `imap.fetch_mails`."""
        with self.breakers.calling(str(server.place)):
            return fetch_mails(self._mail, server, search, deadline=deadline, trust=self.trust)

    @property
    def _mail(self) -> Guard:
        return Guard(self.allowed, ports=MAIL_PORTS, resolve=self.resolve)

    def _http(self, allowed: Allowed) -> "HttpClient":
        from src.outside.http import HttpClient  # noqa: PLC0415 -- its libraries take a while to import

        guard = Guard(allowed, ports=self.ports, resolve=self.resolve)
        return HttpClient(guard, self.breakers, max_bytes=self.max_bytes, trust=self.trust)
