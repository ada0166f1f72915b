"""Sending a mail: the standard library's SMTP, on a connection that was checked."""

import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from http import HTTPStatus

from src.outside.deadline import Deadline
from src.outside.errors import Fault, OutsideError, Refused
from src.outside.guard import Guard
from src.outside.sockets import Place, Security, connected, ended_in_time, fault_of, secured, trusting

FINAL = HTTPStatus.INTERNAL_SERVER_ERROR
"""SMTP has the same thousandths: 4xx may pass, 5xx will not."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    place: Place
    security: Security
    username: str | None = None
    password: str | None = None


def send_mail(
    guard: Guard,
    server: SmtpServer,
    message: EmailMessage,
    *,
    sender: str,
    recipients: Sequence[str],
    deadline: Deadline,
    trust: ssl.SSLContext | None = None,
) -> dict[str, str]:
    """Whom the server has refused, and why; the others have it.

    Raises:
        OutsideError: nobody has it.
    """
    trust = trusting(server.security, trust)
    try:
        with _Connection(guard, server, deadline, trust) as smtp, ended_in_time(smtp.sock, deadline):
            if server.security == "starttls":
                smtp.starttls(context=trust)
            if server.username is not None:
                smtp.login(server.username, server.password or "")
            refused = smtp.send_message(message, sender, recipients)
    except smtplib.SMTPException as error:
        raise _told(error, server.place) from None
    except OSError as error:
        deadline.check()
        raise fault_of(error, server.place) from None
    return {recipient: _said(code, text) for recipient, (code, text) in refused.items()}


class _Connection(smtplib.SMTP):
    def __init__(self, guard: Guard, server: SmtpServer, deadline: Deadline, trust: ssl.SSLContext) -> None:
        self._way = guard, server, deadline, trust
        super().__init__(server.place.host, server.place.port, timeout=deadline.left_seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        """What `smtplib` asks for its connection; SMTP_SSL does it likewise."""
        guard, server, deadline, trust = self._way
        connection = connected(guard, server.place, deadline)
        connection.settimeout(deadline.left_seconds)
        return secured(connection, trust, server.place) if server.security == "tls" else connection


def _told(error: smtplib.SMTPException, place: Place) -> OutsideError:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        told = "; ".join(f"{who}: {_said(code, text)}" for who, (code, text) in error.recipients.items())
        is_final = all(code >= FINAL for code, _ in error.recipients.values())
        return (Refused if is_final else Fault)(f"{place} takes it for nobody: {told}")
    if isinstance(error, smtplib.SMTPResponseException):
        kind = Refused if error.smtp_code >= FINAL else Fault
        return kind(f"{place}: {_said(error.smtp_code, error.smtp_error)}")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return Fault(f"{place}: {error}")
    return Refused(f"{place}: {error}")


def _said(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
