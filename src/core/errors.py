"""Nova's own errors. What they are over HTTP stands in `api/errors.py`; what a *node* can end in, in `outcome.py`.

NovaError
├── Invalid               the input is wrong; lists every problem
│   ├── DefinitionError   ... in a workflow's definition
│   ├── ValueRefused      ... in a context: not JSON, too deep, too large
│   ├── ReviewRefused     ... in a person's answer
│   ├── RerunRefused      ... in what is to stand of an earlier execution
│   ├── ScheduleRefused   ... in a schedule
│   └── CredentialRefused ... in a credential
├── NotFound
├── DuplicateName         ... of a workflow
├── DuplicateSlug         ... of a client
├── VersionMismatch       somebody saved in between
├── KeyTaken              an execution was started with this idempotency key
├── KeyReused             ... by another request than this one
├── AlreadyDecided        a review that nobody waits for any more
├── WorkflowPaused        new runs of it are held back
├── NoEncryptionKey       there is nothing to encrypt credentials with
├── Unreadable            credentials that no key decrypts
├── InUse                 others hold on to it
├── NotAllowed            the status of the execution does not allow it
├── Busy                  no room for another run now
├── NotReady              the installation must be mended first
└── LeaseLost             another runner has the execution; nothing was written
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    pointer: str
    """Where, as a JSON Pointer (RFC 6901) into the document that was sent."""
    detail: str


def escape_pointer(part: str | int) -> str:
    """One reference token of a JSON Pointer (RFC 6901, section 3)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer_to(parts: Iterable[str | int]) -> str:
    """The JSON Pointer that goes along these keys and places."""
    return "".join(f"/{escape_pointer(part)}" for part in parts)


class NovaError(Exception):
    code: ClassVar[str] = "error"


class Invalid(NovaError):
    code = "invalid"
    summary: ClassVar[str] = "The input is not valid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in self.problems))


class DefinitionError(Invalid):
    code = "invalid_definition"
    summary = "The definition is not valid"


class ValueRefused(Invalid):
    code = "value_refused"
    summary = "The value cannot be kept"


class InputsRefused(Invalid):
    code = "inputs_refused"
    summary = "The context is not what the workflow asks for"


class ReviewRefused(Invalid):
    code = "review_refused"
    summary = "The review cannot be taken"


class ScheduleRefused(Invalid):
    code = "invalid_schedule"
    summary = "The schedule is not valid"


class CredentialRefused(Invalid):
    code = "credential_refused"
    summary = "The credential cannot be kept"


class RerunRefused(Invalid):
    code = "rerun_refused"
    summary = "The execution cannot be run again like this"


class NotFound(NovaError):
    code = "not_found"

    def __init__(self, what: str, which: object) -> None:
        super().__init__(f"There is no {what} {which!r}.")


class DuplicateName(NovaError):
    code = "duplicate_name"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A workflow named {name!r} exists already: choose another name, or save a version of that one."
        )


class DuplicateSlug(NovaError):
    code = "duplicate_slug"

    def __init__(self, slug: str) -> None:
        super().__init__(f"A client {slug!r} exists already.")


class InUse(NovaError):
    code = "in_use"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Workflows or executions belong to the client {slug!r}: it can only be made inactive.")


class NoEncryptionKey(NovaError):
    code = "no_encryption_key"

    def __init__(self) -> None:
        super().__init__(
            "There is no key to encrypt credentials with: set ENCRYPTION_KEYS, in every process, to what "
            "`python -m src new-key` prints."
        )


class Unreadable(NovaError):
    code = "credentials_unreadable"

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(
            f"None of ENCRYPTION_KEYS decrypts the credential {name!r} of the client {slug!r} as its own: set the key "
            "that it was stored with, or store it again."
        )


class VersionMismatch(NovaError):
    code = "version_mismatch"

    def __init__(self, current: int) -> None:
        super().__init__(f"The workflow was changed in between: it is at version {current} now. Read it again first.")


class AlreadyDecided(NovaError):
    code = "already_decided"

    def __init__(self, execution_id: int, node_id: str) -> None:
        super().__init__(f"Node {node_id!r} of execution {execution_id} waits for no review, or no longer.")


class WorkflowPaused(NovaError):
    code = "workflow_paused"

    def __init__(self, workflow_id: int) -> None:
        super().__init__(
            f"Workflow {workflow_id} is paused: ask with async_mode=true, and the run waits until it goes on."
        )


class NotAllowed(NovaError):
    code = "not_allowed"

    def __init__(self, what: str, execution_id: int, status: str) -> None:
        super().__init__(f"Execution {execution_id} is {status}: it cannot {what}.")


class KeyTaken(NovaError):
    code = "idempotency_key_taken"

    def __init__(self, key: str, client_id: int | None, request_sha256: str | None) -> None:
        super().__init__(f"An execution was started with the idempotency key {key!r} already.")
        self.key, self.client_id, self.request_sha256 = key, client_id, request_sha256


class KeyReused(NovaError):
    code = "idempotency_key_reused"

    def __init__(self, key: str, execution_id: int) -> None:
        super().__init__(
            f"The idempotency key {key!r} was sent with another request: that started execution {execution_id}."
        )


class Busy(NovaError):
    code = "busy"


class NotReady(NovaError):
    code = "not_ready"


class LeaseLost(NovaError):
    code = "lease_lost"

    def __init__(self, execution_id: int) -> None:
        super().__init__(f"Execution {execution_id} belongs to another runner now; nothing was written.")
