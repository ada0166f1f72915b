"""`email_send`: send a mail over SMTP.

`{"type": "email_send", "host": "smtp.example.com", "username": "{{ credentials.smtp_user }}", "password":
"{{ credentials.smtp_password }}", "from": "invoices@acme.example", "to": "{{ context.sender }}", "subject": "Received",
"text": "Thank you."}`. Every attempt sends the same Message-ID, so that a mail that came twice can be told from two.
"""

import hashlib
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Literal, Self

from pydantic import Field, model_validator

from src.core.outcome import Outcome, Succeeded
from src.nodes.config import NodeContext
from src.nodes.mail import MailNode, addresses, attach, bare
from src.nodes.outward import FieldProblem, Template, Templates, filled, filled_text
from src.outside.smtp import SmtpServer
from src.outside.sockets import Security

PORTS = {"tls": 465, "starttls": 587, "none": 25}


class EmailSend(MailNode):
    type: Literal["email_send"]
    security: Security = "starttls"
    sender: Template = Field(alias="from")
    to: Templates
    cc: Templates = None
    bcc: Templates = None
    reply_to: Template | None = None
    subject: Template = ""
    text: Template | None = None
    html: Template | None = None
    attachments: Templates = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.html is None:
            raise ValueError('expected "text", "html" or both')
        return self

    def call(self, context: NodeContext) -> Outcome:
        server = SmtpServer(self.place(context, PORTS[self.security]), self.security, *self.account(context))
        sender = addresses(self.sender, context, "from")[0]
        named = {name: addresses(value, context, name) for name, value in self._whom().items() if value is not None}
        message = self._message(context, sender, named)
        refused = context.outside.send_mail(
            server,
            message,
            sender=bare(sender),
            recipients=[bare(each) for listed in named.values() for each in listed],
            deadline=self.deadline(context),
        )
        return Succeeded({self.key: {"message_id": message["Message-ID"], "refused": refused}})

    def _whom(self) -> dict[str, object]:
        return {"to": self.to, "cc": self.cc, "bcc": self.bcc}

    def _message(self, context: NodeContext, sender: str, named: dict[str, list[str]]) -> EmailMessage:
        message = EmailMessage()
        headers = {
            "From": sender,
            **{name.title(): ", ".join(listed) for name, listed in named.items() if name != "bcc"},
            "Subject": filled_text(self.subject, context, "subject"),
            "Date": format_datetime(localtime()),
            "Message-ID": _message_id(context, bare(sender)),
        }
        if self.reply_to is not None:
            headers["Reply-To"] = addresses(self.reply_to, context, "reply_to")[0]
        try:
            for name, value in headers.items():
                message[name] = value
        except ValueError as error:
            raise FieldProblem("subject", error) from None
        self._fill(message, context)
        return message

    def _fill(self, message: EmailMessage, context: NodeContext) -> None:
        if self.text is not None:
            message.set_content(filled_text(self.text, context, "text"))
        if self.html is not None:
            html = filled_text(self.html, context, "html")
            if self.text is None:
                message.set_content(html, subtype="html")
            else:
                message.add_alternative(html, subtype="html")
        if self.attachments is not None:
            attach(message, filled(self.attachments, context, "attachments") or [])


def _message_id(context: NodeContext, sender: str) -> str:
    digest = hashlib.sha256(context.visit.idempotency_key.encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2]}>"
