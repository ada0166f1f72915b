"""`http_request`: call a URL and put the answer into the context.

`{"type": "http_request", "method": "POST", "url": "https://crm.example/leads", "json": {"name": "{{ context.name }}"},
"auth": {"bearer": "{{ credentials.crm_token }}"}, "extract": "/id"}`. The answer stands under `result_key` as
`{"status", "headers", "body"}`, or as what `extract` takes out of it. A time-out, a broken connection, 408, 425, 429
and 5xx are transient, and a `Retry-After` is honoured; another status than `expect` names is final. Methods that change
something send an `Idempotency-Key`, the same at every attempt. Addresses that are not the internet's are refused.
"""

import base64
import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from src.core.classify import class_of_status
from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded
from src.nodes.config import NodeContext
from src.nodes.extract import check_extract, extracted, is_pointer
from src.nodes.outward import FieldProblem, OutwardNode, Template, Templates, filled, filled_text
from src.outside.messages import DEFAULT_SECONDS, Answer, Call

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
UNTOLD = frozenset({"set-cookie", "www-authenticate"})
"""Headers of answers that are nobody's business later."""
MAX_EXCERPT = 500
CLASS = re.compile(r"[1-5]xx")
STATUSES = range(100, 600)


def _statuses(expect: Json) -> Json:
    statuses = expect if isinstance(expect, list) else [expect]
    if not statuses or not all(each in STATUSES or CLASS.fullmatch(str(each)) for each in statuses):
        raise ValueError('expected statuses such as 201, or classes such as "2xx"')
    return statuses


class Auth(BaseModel):
    """One of `bearer`, `username` with `password`, `header` with `value`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bearer: Template | None = None
    username: Template | None = None
    password: Template | None = None
    header: str | None = Field(None, pattern=r"^[A-Za-z0-9-]{1,100}$")
    value: Template | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        if given not in ({"bearer"}, {"username", "password"}, {"header", "value"}):
            raise ValueError('expected "bearer", or "username" and "password", or "header" and "value"')
        return self

    def headers(self, context: NodeContext) -> dict[str, str]:
        if self.bearer is not None:
            return {"Authorization": f"Bearer {filled_text(self.bearer, context, 'auth')}"}
        if self.header is not None:
            return {self.header: filled_text(self.value, context, "auth")}
        pair = ":".join(filled_text(part, context, "auth") for part in (self.username, self.password))
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class HttpRequest(OutwardNode):
    type: Literal["http_request"]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    url: Template
    headers: dict[str, Template] = Field({})
    query: dict[str, Templates] = Field({})
    json_body: Templates = Field(None, alias="json")
    body: Template | None = None
    auth: Auth | None = None
    expect: Annotated[list[int | str], BeforeValidator(_statuses)] = Field(["2xx"])
    extract: Annotated[str | dict[str, str] | None, BeforeValidator(check_extract)] = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.body is not None and "json_body" in self.model_fields_set:
            raise ValueError('expected "json" or "body", not both')
        return self

    def call(self, context: NodeContext) -> Outcome:
        answer = context.outside.http.send(self._call(context), context.visit.cancelled)
        if not self._is_expected(answer.status):
            return _unexpected(answer)
        try:
            return Succeeded({self.key: self._result(answer, context)})
        except ValueError as error:
            return Failed(NodeError("BadAnswer", str(error)))

    def _call(self, context: NodeContext) -> Call:
        body, headers = self._body(context), {}
        if "json_body" in self.model_fields_set:
            headers["Content-Type"] = "application/json"
        if self.method not in SAFE:
            headers["Idempotency-Key"] = context.visit.idempotency_key
        headers = _over(headers, {name: filled_text(each, context, name) for name, each in self.headers.items()})
        return Call(
            method=self.method,
            url=filled_text(self.url, context, "url"),
            headers=_over(headers, self.auth.headers(context)) if self.auth else headers,
            query={name: _parameter(filled(each, context, "query"), name) for name, each in self.query.items()},
            body=body,
            timeout_seconds=self.timeout or DEFAULT_SECONDS,
            follows=not any(self._is_expected(status) for status in (301, 302, 303, 307, 308)),
        )

    def _body(self, context: NodeContext) -> bytes | None:
        if "json_body" in self.model_fields_set:
            value = filled(self.json_body, context, "json")
            return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return None if self.body is None else filled_text(self.body, context, "body").encode()

    def _is_expected(self, status: int) -> bool:
        return status in self.expect or f"{status // 100}xx" in self.expect

    def _result(self, answer: Answer, context: NodeContext) -> Json:
        """Raises ValueError where the answer is not what `extract`, or its own Content-Type, says."""
        document = answer.json() if answer.is_json or self._points else None
        if self.extract is None:
            return _whole(answer, document)
        seen = {**context.visit.context, "answer": _whole(answer, document)}
        if isinstance(self.extract, str):
            return extracted(self.extract, document, seen, context.credentials)
        return {name: extracted(each, document, seen, context.credentials) for name, each in self.extract.items()}

    @property
    def _points(self) -> bool:
        """It takes something out of JSON, whatever the answer calls itself."""
        sources = self.extract.values() if isinstance(self.extract, dict) else [self.extract]
        return any(source is not None and is_pointer(source) for source in sources)


def _whole(answer: Answer, document: Json) -> Context:
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in UNTOLD}
    told = {"status": answer.status, "headers": headers}
    if answer.is_json:
        return {**told, "body": document}
    if answer.is_text:
        return {**told, "body": answer.text}
    return {**told, "body_base64": base64.b64encode(answer.body).decode()}


def _unexpected(answer: Answer) -> Failed:
    error_class = class_of_status(answer.status)
    message = f"{answer.place} answered {answer.status}: {answer.text[:MAX_EXCERPT]}"
    return Failed(NodeError("HttpStatus", message, error_class, retry_after_seconds=answer.retry_after_seconds))


def _over(headers: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Names of headers are the same in any case of letters."""
    named = {name.lower() for name in more}
    return {name: value for name, value in headers.items() if name.lower() not in named} | more


def _parameter(value: Json, name: str) -> Json:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(each, dict | list) for each in values):
        raise FieldProblem("query", f"{name}: expected a text, a number or a list of these")
    return value
