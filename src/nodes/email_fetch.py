"""`email_fetch`: fetch mails over IMAP, without changing anything in the mailbox unless it is said.

`{"type": "email_fetch", "host": "imap.example.com", "username": "{{ credentials.imap_user }}", "password":
"{{ credentials.imap_password }}", "search": "UNSEEN", "result_key": "mails"}`. Each mail is `{"uid", "message_id",
"from", "to", "subject", "date", "text", "html", "attachments"}`. Mark mails as seen in a node of its own, by `uids`,
when the work with them is done: a process that dies between marking them and its checkpoint would lose them otherwise.
"""

import re
from typing import Literal

from pydantic import Field

from src.core.outcome import Json, Outcome, Succeeded
from src.nodes.config import NodeContext
from src.nodes.mail import MailNode, as_json
from src.nodes.outward import FieldProblem, Template, Templates, filled, filled_text
from src.outside.imap import ImapServer, Parts, Search
from src.outside.sockets import Security

PORTS = {"tls": 993, "starttls": 143, "none": 143}
CRITERIA = re.compile(r"[\x20-\x7e]{1,1000}")
"""Whoever could end a line could give a command."""


class EmailFetch(MailNode):
    type: Literal["email_fetch"]
    security: Security = "tls"
    username: Template
    password: Template
    folder: Template = "INBOX"
    search: Template = "UNSEEN"
    uids: Templates = None
    limit: int = Field(20, ge=1, le=1000)
    parts: Parts = "all"
    mark_seen: bool = False

    def call(self, context: NodeContext) -> Outcome:
        username, password = self.account(context)
        server = ImapServer(self.place(context, PORTS[self.security]), self.security, username or "", password or "")
        search = Search(
            folder=_line(filled_text(self.folder, context, "folder"), "folder"),
            criteria=_line(filled_text(self.search, context, "search"), "search"),
            uids=None if self.uids is None else _uids(filled(self.uids, context, "uids")),
            limit=self.limit,
            parts=self.parts,
            mark_seen=self.mark_seen,
            max_bytes=context.outside.max_bytes,
        )
        mails = context.outside.fetch_mails(server, search, deadline=self.deadline(context))
        return Succeeded({self.key: [as_json(uid, raw) for uid, raw in mails]})


def _line(text: str, field: str) -> str:
    if not CRITERIA.fullmatch(text):
        raise FieldProblem(field, "expected one line of ASCII text")
    return text


def _uids(given: Json) -> list[int]:
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in listed):
        raise FieldProblem("uids", "expected the numbers of mails")
    return listed
