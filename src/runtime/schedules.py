"""Schedules: kept, changed and looked at. What happens when their time has come is in `firing.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.errors import NotFound, Problem, ScheduleRefused
from src.core.outcome import Context
from src.core.schedule import CatchUp, Overlap
from src.database import Database
from src.models import Client, Execution, Schedule, Workflow
from src.models.columns import moment
from src.runtime.audit import note
from src.runtime.cron import Cron
from src.runtime.executions import Executions
from src.runtime.store import NewExecution

Clock = Callable[[Connection], datetime]
SHOWN_TIMES = 5
_FIELDS = (
    "workflow_id", "cron", "timezone", "name", "initial_context", "client_slug", "overlap", "catch_up", "enabled",
)  # fmt: skip
_TIMES = {"cron", "timezone", "enabled"}
_ORDER = {"initial_context", "client_slug"}
_LAST = select(func.max(Execution.id)).where(Execution.schedule_id == Schedule.id).correlate(Schedule).scalar_subquery()
_LAST_STATUS = select(Execution.status).where(Execution.id == _LAST).correlate(Schedule).scalar_subquery()
_WHOLE = (
    *Schedule.__table__.columns, Workflow.name.label("workflow"), Workflow.paused_at.label("workflow_paused_at"),
    Client.slug.label("client_slug"), _LAST.label("last_execution_id"), _LAST_STATUS.label("last_status"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScheduleDraft:
    """What a schedule is to be."""

    workflow_id: int
    cron: Cron
    name: str | None = None
    initial_context: Context | None = None
    client_slug: str | None = None
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.SKIP
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule as it stands in its row."""

    row: Row[Any]
    next_times: list[datetime]

    @property
    def cron(self) -> Cron:
        return Cron(self.row.cron, self.row.timezone)


def database_clock(connection: Connection) -> datetime:
    """All processes fire by one clock, as all leases run out by it."""
    now: datetime = connection.execute(select(moment(0.0))).scalar_one()
    return now


class Schedules:
    def __init__(
        self,
        database: Database,
        executions: Executions,
        *,
        credentials_of: Callable[[int | None], Credentials] = lambda _: NO_CREDENTIALS,
        clock: Clock = database_clock,
    ) -> None:
        self._database = database
        self._executions = executions
        self._credentials_of = credentials_of
        self._clock = clock

    def preview(self, cron: Cron, count: int = SHOWN_TIMES) -> list[datetime]:
        """When it would be due next. Raises ScheduleRefused."""
        if problems := cron.problems():
            raise ScheduleRefused(problems)
        with self._database.read() as connection:
            return cron.some(self._clock(connection), count)

    def create(self, draft: ScheduleDraft) -> int:
        """Keep a schedule; answers its id. Raises ScheduleRefused, ValueRefused, NotFound."""
        values = _checked(draft) | self._ordered(draft)
        with self._database.write("schedule_create") as connection:
            now = self._clock(connection)
            times = {"next_fire_at": _next(draft, now), "created_at": now, "updated_at": now}
            row = insert(Schedule).values(**values, **times)
            schedule_id: int = connection.execute(row.returning(Schedule.id)).scalar_one()
            note(connection, "schedule.create", f"schedule/{schedule_id}", after=_plain(values))
        return schedule_id

    def change(self, schedule_id: int, changes: Mapping[str, Any]) -> None:
        """Change what a draft consists of, with `cron` and `timezone` each by itself. Where one of these two or
        `enabled` is named, it is due next by what stands there then: what was due already is not run any more.

        Raises:
            NotFound, ScheduleRefused, ValueRefused
        """
        row = self.find(schedule_id).row
        draft = _draft(row, changes)
        values = _checked(draft)
        if _ORDER & changes.keys():  # otherwise it can be switched off also when its client is not active any more
            values |= self._ordered(draft)
        with self._database.write("schedule_change") as connection:
            now = self._clock(connection)
            if _TIMES & changes.keys():
                values["next_fire_at"] = _next(draft, now)
            same = (Schedule.id == schedule_id, Schedule.updated_at == row.updated_at)
            changed = connection.execute(update(Schedule).where(*same).values(**values, updated_at=now)).rowcount
            before = {"client_id": row.client_id} | _columns(_draft(row, {}))
            after = before | _plain(values)
            if changed and before != after:
                note(connection, "schedule.change", f"schedule/{schedule_id}", before=before, after=after)
        if not changed:  # somebody else has changed it in between, or deleted it
            self.change(schedule_id, changes)

    def delete(self, schedule_id: int) -> None:
        """Its executions stay. Raises NotFound."""
        with self._database.write("schedule_delete") as connection:
            if not connection.execute(delete(Schedule).where(Schedule.id == schedule_id)).rowcount:
                raise NotFound("schedule", schedule_id)
            note(connection, "schedule.delete", f"schedule/{schedule_id}")

    def find(self, schedule_id: int) -> Found:
        """Raises NotFound, also where its workflow is out of use."""
        with self._database.read() as connection:
            return _found(_one(connection, schedule_id), self._clock(connection))

    def page(
        self, *, workflow_id: int | None = None, client_id: int | None = None, limit: int, skip: int = 0
    ) -> tuple[list[Found], int]:
        """A page of the schedules of workflows in use, newest first, and how many there are."""
        wanted = {Schedule.workflow_id: workflow_id, Schedule.client_id: client_id}
        query = _in_use().where(*(column == value for column, value in wanted.items() if value is not None))
        with self._database.read() as connection:
            now = self._clock(connection)
            rows = connection.execute(query.order_by(Schedule.id.desc()).limit(limit).offset(skip)).all()
            total: int = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        return [_found(row, now) for row in rows], total

    def order(self, schedule_id: int) -> NewExecution:
        """What it would start now, asked for by a person. Raises NotFound, ValueRefused."""
        row = self.find(schedule_id).row
        new = self._executions.order(row.workflow_id, row.initial_context, row.client_slug)
        return replace(new, schedule_id=schedule_id)

    def _ordered(self, draft: ScheduleDraft) -> dict[str, Any]:
        """Its client, and its context without secrets, which its runs have anyway. Raises NotFound, ValueRefused."""
        new = self._executions.order(draft.workflow_id, draft.initial_context or {}, draft.client_slug)
        mask = self._credentials_of(new.client_id).mask
        return {
            "client_id": new.client_id if draft.client_slug is not None else None,
            "initial_context": mask.value(draft.initial_context or {}),
        }


def _checked(draft: ScheduleDraft) -> dict[str, Any]:
    """Its columns, all but the client. Raises ScheduleRefused."""
    problems = draft.cron.problems()
    if draft.name is not None and not draft.name.isprintable():
        problems.append(Problem("/name", "expected a name of printable characters"))
    if problems:
        raise ScheduleRefused(problems)
    return _columns(draft)


def _columns(draft: ScheduleDraft) -> dict[str, Any]:
    return {
        "workflow_id": draft.workflow_id,
        "name": draft.name,
        "cron": draft.cron.expression,
        "timezone": draft.cron.timezone,
        "initial_context": draft.initial_context or {},
        "overlap": draft.overlap,
        "catch_up": draft.catch_up,
        "enabled": draft.enabled,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "next_fire_at"}


def _next(draft: ScheduleDraft, now: datetime) -> datetime | None:
    return draft.cron.next(now) if draft.enabled else None


def _in_use() -> Select[Any]:
    joined = select(*_WHOLE).join(Workflow, Workflow.id == Schedule.workflow_id)
    return joined.outerjoin(Client, Client.id == Schedule.client_id).where(Workflow.archived_at.is_(None))


def _one(connection: Connection, schedule_id: int) -> Row[Any]:
    row = connection.execute(_in_use().where(Schedule.id == schedule_id)).one_or_none()
    if row is None:
        raise NotFound("schedule", schedule_id)
    return row


def _found(row: Row[Any], now: datetime) -> Found:
    cron = Cron(row.cron, row.timezone)
    return Found(row, cron.some(now, SHOWN_TIMES) if row.enabled and not cron.problems() else [])


def _draft(row: Row[Any], changes: Mapping[str, Any]) -> ScheduleDraft:
    """What stands in a row, changed."""
    fields = {name: getattr(row, name) for name in _FIELDS} | dict(changes)
    return ScheduleDraft(cron=Cron(fields.pop("cron"), fields.pop("timezone")), **fields)
