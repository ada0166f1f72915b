"""Cron: five fields, meant in a time zone. When it is due is for cronsim to say, which does as Debian's cron does:

a time that a change of the clocks leaves out comes at the first minute after it, one that comes twice counts once; what
runs every so many minutes or hours goes on evenly through both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from src.core.errors import Problem

FIELDS = 5
MAX_LENGTH = 200
"""Characters of an expression."""
_SHORTEST = timedelta(minutes=1)
"""Two times are never nearer."""
WANTED = "expected minute, hour, day of the month, month and day of the week, such as 30 7 * * MON-FRI"


@dataclass(frozen=True, slots=True)
class Cron:
    expression: str
    timezone: str = "UTC"

    def problems(self) -> list[Problem]:
        found = []
        if self.timezone not in _zones():
            found.append(Problem("/timezone", "expected the name of a time zone, such as Europe/Berlin"))
        if why := self._mistake():
            found.append(Problem("/cron", f"{why}: {WANTED}"))
        return found

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after `moment`, in UTC. May end: a 30 February never comes."""
        last = moment
        for found in CronSim(self.expression, moment.astimezone(ZoneInfo(self.timezone))):
            at = found.astimezone(UTC)
            if at > last:  # in the hour that comes twice, local times are told that are over already
                yield at
                last = at

    def next(self, moment: datetime) -> datetime | None:
        return next(self.after(moment), None)

    def some(self, moment: datetime, count: int) -> list[datetime]:
        return list(islice(self.after(moment), count))

    def last(self, until: datetime, *, not_before: datetime) -> datetime:
        """The last time up to `until`, where `not_before` is one of them."""
        if until - not_before < _SHORTEST:
            return not_before
        local = until.astimezone(ZoneInfo(self.timezone)).replace(microsecond=1)  # then its own second counts too
        found = next(CronSim(self.expression, local, reverse=True), local)
        at = found.astimezone(UTC)
        return at if not_before < at <= until else not_before

    def explained(self) -> str:
        """In English; nothing where it is no cron expression."""
        return "" if self._mistake() else CronSim(self.expression, datetime.now(UTC)).explain()

    def _mistake(self) -> str | None:
        if len(self.expression) > MAX_LENGTH or len(self.expression.split()) != FIELDS:
            return "not five fields"
        try:
            CronSim(self.expression, datetime.now(UTC))
        except CronSimError as error:
            return str(error)
        return None if Cron(self.expression).next(datetime.now(UTC)) else "this never comes"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
