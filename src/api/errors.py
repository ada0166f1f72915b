"""Problem documents (RFC 9457): the one table from Nova's errors to HTTP statuses, and the handlers that apply it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from src.core.errors import (
    AlreadyDecided,
    Busy,
    CredentialRefused,
    DefinitionError,
    DuplicateName,
    DuplicateSlug,
    InputsRefused,
    InUse,
    Invalid,
    KeyReused,
    KeyTaken,
    LeaseLost,
    NoEncryptionKey,
    NotAllowed,
    NotFound,
    NotReady,
    NovaError,
    Problem,
    RerunRefused,
    ReviewRefused,
    ScheduleRefused,
    Unreadable,
    ValueRefused,
    VersionMismatch,
    WorkflowPaused,
    pointer_to,
)

STATUS: dict[type[NovaError], int] = {
    DefinitionError: 422,
    ValueRefused: 422,
    Invalid: 422,
    NotFound: 404,
    DuplicateName: 400,
    DuplicateSlug: 409,
    InUse: 409,
    NoEncryptionKey: 409,
    Unreadable: 503,
    CredentialRefused: 422,
    KeyReused: 422,
    KeyTaken: 409,
    NotAllowed: 409,
    WorkflowPaused: 409,
    AlreadyDecided: 409,
    InputsRefused: 422,
    ReviewRefused: 422,
    RerunRefused: 422,
    ScheduleRefused: 422,
    VersionMismatch: 412,
    Busy: 503,
    NotReady: 503,
    LeaseLost: 503,
}
RETRY_AFTER_SECONDS = 2
MAX_SHOWN = 100
"""Problems in one answer; a body of a megabyte could have a hundred thousand."""
MAX_TEXT = 2000
"""Characters of a pointer or a detail: they quote what was sent."""


class RefusedRequest(HTTPException):
    """What is wrong with a request as HTTP: a header that is missing, a body that is not JSON."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, detail)
        self.code = code


def problem(
    request: Request, status: int, code: str, detail: str, problems: Sequence[Problem] = (), **more: Any
) -> JSONResponse:
    document: dict[str, Any] = {
        "type": f"urn:nova:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _readable(detail),
        "instance": _readable(request.url.path),
        **more,
    }
    if problems:
        document["errors"] = [problem_view(found) for found in problems[:MAX_SHOWN]]
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")


def problem_view(found: Problem) -> dict[str, str]:
    return {"pointer": _readable(found.pointer), "detail": _readable(found.detail)}


def _readable(text: str) -> str:
    """What was sent may be quoted in it: of any length, and with half characters that no answer can hold."""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()


def install(app: FastAPI) -> None:
    app.add_exception_handler(NovaError, _on_nova_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)


async def _on_nova_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NovaError)
    if isinstance(error, Invalid):
        count = len(error.problems)
        detail = f"{error.summary}: {count} problem{'s' * (count != 1)}"
        return problem(request, STATUS[type(error)], error.code, detail, error.problems)
    return problem(request, STATUS[type(error)], error.code, str(error))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [_problem_of(found) for found in error.errors()]
    return problem(request, 422, "invalid_request", "The request is not what was expected", problems)


def _problem_of(found: dict[str, Any]) -> Problem:
    """A field of the body by its pointer; a parameter by where it stands and its name."""
    where, *path = found["loc"]
    pointer = pointer_to(path)
    detail = found["msg"].removeprefix("Value error, ")
    if where == "body":
        if not path and isinstance(found.get("input"), bytes):
            detail = "expected a JSON object; is Content-Type: application/json set?"
        return Problem(pointer, detail)
    return Problem("", f"{where} parameter {'.'.join(map(str, path))}: {detail}")


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = getattr(error, "code", HTTPStatus(error.status_code).name.lower())
    answer = problem(request, error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_bug(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 -- the server logs it
    return problem(request, 500, "internal", "Nova made a mistake here; its log has the details.")
