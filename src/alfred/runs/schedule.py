"""When a rule fires: five cron fields, an alias, `every <n>m|h|d`, or one time. Pure, in microseconds UTC.

Invariant: `next_after(t)` is strictly later than `t`, and the same for every asker, so that whoever computes it
gets the same slot. What daylight saving does to a rule follows Debian's cron: a rule with a fixed minute and a
fixed hour fires once a day, a time that the clock skips right after the gap, a time that it repeats at its first
pass; a rule with a star in one of the two fires whenever the wall clock shows it. `every` is counted in UTC and
never notices.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cronsim import CronSim, CronSimError

from alfred import clock, errors

HORIZON = 3653 * clock.DAY
"""Ten years: a rule that stays silent for longer is a mistake."""

MAX_LENGTH = 200
"""Characters of a rule. The longest useful one lists 60 minutes."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_UNITS = {"m": clock.MINUTE, "h": clock.HOUR, "d": clock.DAY}
_EVERY = re.compile(r"every\s+([0-9]+)\s*([mhd])")
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_FORMS = (
    "Write five cron fields (`30 7 * * MON-FRI`), @hourly, @daily, @weekly, @monthly or @yearly,"
    " `every 15m`, `every 2h`, `every 1d`, or one time (`2027-03-01T09:00`)."
)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rule that was understood. `text` is how it was written, `rule` its five cron fields or its time."""

    kind: Literal["cron", "every", "once"]
    text: str
    rule: str = ""
    step: int = 0  # microseconds, of `every`

    def next_after(self, us: int, zone: str) -> int | None:
        """The first slot strictly after `us`; None when there is none any more (one time that has passed).

        Args:
            us: Microseconds since the epoch, UTC.
            zone: The IANA zone whose wall clock the rule means.

        Raises:
            UsageError: No such zone, a time that this zone's clock skips, a rule that no day fits.
        """
        tz = zone_of(zone)
        match self.kind:
            case "every":
                return (us // self.step + 1) * self.step
            case "once":
                at = self._once(tz)
                return at if at > us else None
        try:
            seconds = self._fixed(us, tz) if self._is_fixed else self._wall(us // clock.SECOND, tz)
        except StopIteration:
            raise _wrong(self.text, "no day of the next 50 years fits it") from None
        return seconds * clock.SECOND

    def slots(self, after: int, until: int, zone: str) -> Iterator[int]:
        """Every slot in (after, until], in order."""
        slot = self.next_after(after, zone)
        while slot is not None and slot <= until:
            yield slot
            slot = self.next_after(slot, zone)

    def last(self, first: int, until: int, zone: str) -> int:
        """The last slot at or before `until`, given that `first` is one: found by halving, not by walking."""

        def more(us: int) -> bool:
            found = self.next_after(us, zone)
            return found is not None and found <= until

        before, at = first - 1, until
        while at - before > 1:
            middle = (before + at) // 2
            before, at = (middle, at) if more(middle) else (before, middle)
        return at

    @property
    def _is_fixed(self) -> bool:
        minute, hour, *_ = self.rule.split()
        return not (minute.startswith("*") or hour.startswith("*"))

    def _fixed(self, us: int, tz: zoneinfo.ZoneInfo) -> int:
        now = us // clock.SECOND
        for found in CronSim(self.rule, datetime.fromtimestamp(now, tz)):
            # In a repeated hour the first pass is found again, which lies behind.
            if (seconds := int(found.timestamp())) > now:
                return seconds
        raise StopIteration

    def _wall(self, now: int, tz: zoneinfo.ZoneInfo) -> int:
        """As long as the offset stays, the wall clock is UTC shifted; each change of it starts the search anew.

        cronsim can do this for whole-hour changes by day, but not for Lord Howe's half hour, nor for zones
        whose midnight is skipped.
        """
        since = now
        while True:
            offset = _offset(since, tz)
            wall = next(CronSim(self.rule, _EPOCH + timedelta(seconds=now + offset)))
            found = (wall - _EPOCH) // timedelta(seconds=1) - offset
            change = _change(since, found, tz)
            if change is None:
                return found
            now, since = change - 1, change

    def _once(self, tz: zoneinfo.ZoneInfo) -> int:
        written = datetime.fromisoformat(self.rule)
        at = written if written.tzinfo else written.replace(tzinfo=tz)
        real = at.astimezone(UTC)
        if not written.tzinfo and real.astimezone(tz).replace(tzinfo=None) != written:
            raise _wrong(self.text, f"the clock of {tz.key} skips this time")
        return (real.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)


def parse(text: str) -> Schedule:
    """Reads a rule.

    Raises:
        UsageError: It is none; the field that is wrong is named.
    """
    spec = " ".join(text.split()) if text.isascii() else text
    if not spec or len(spec) > MAX_LENGTH or not spec.isascii() or not spec.isprintable():
        raise _wrong(text[:MAX_LENGTH], "it is empty, too long, or has other than plain letters")
    lower = spec.lower()
    if lower.startswith("@"):
        if lower not in ALIASES:
            raise _wrong(spec, f"known are {', '.join(ALIASES)}")
        return Schedule("cron", spec, ALIASES[lower])
    if lower.startswith("every"):
        found = _EVERY.fullmatch(lower)
        if found is None:
            raise _wrong(spec, "`every` takes a whole number and m, h or d")
        step = int(found[1]) * _UNITS[found[2]]
        if not clock.MINUTE <= step <= HORIZON:
            raise _wrong(spec, "it must be at least 1 minute and at most ten years")
        return Schedule("every", spec, step=step)
    fields = spec.split()
    if len(fields) <= 2 and re.match(r"[0-9]{4}-", spec):
        return _time(spec)
    if len(fields) != len(_FIELDS):
        raise _wrong(spec, f"it has {len(fields)} fields, cron rules have five")
    try:
        CronSim(spec, _EPOCH)
    except CronSimError as problem:
        name = str(problem).removeprefix("Bad ")
        got = fields[_FIELDS.index(name)] if name in _FIELDS else spec
        raise _wrong(spec, f"its {name} {got!r} is wrong or never comes", got=got) from None
    # cronsim takes a span of one value, `5-5/10`, for `5/10`
    return Schedule("cron", spec, re.sub(r"\b(\w+)-\1/[1-9][0-9]*", r"\1", spec))


def _time(spec: str) -> Schedule:
    try:
        written = datetime.fromisoformat(spec)
    except ValueError:
        raise _wrong(spec, "it is no ISO time") from None
    if ":" not in spec:
        raise _wrong(spec, "the time of the day is missing")
    if not 1970 < written.year < 9999:  # an offset must not lead out of the calendar
        raise _wrong(spec, "no run can be kept for that year")
    return Schedule("once", spec, spec)


def first(schedule: Schedule, now: int, zone: str) -> int:
    """The first slot of a new rule.

    Raises:
        UsageError: It lies behind, or more than ten years ahead, or `next_after` says so.
    """
    slot = schedule.next_after(now, zone)
    if slot is None:
        raise _wrong(schedule.text, f"it is past: now is {clock.rfc3339(now)}")
    if slot > now + HORIZON:
        raise _wrong(schedule.text, "it does not fire within ten years")
    return slot


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """The IANA time zone of this name.

    Raises:
        UsageError: There is none; the nearest one is named.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name[:60], zoneinfo.available_timezones(), n=1)
        raise errors.UsageError(
            f"No time zone is called {name[:60]!r}.",
            next=f"Did you mean {near[0]!r}?" if near else "Write an IANA name: Europe/Berlin.",
            errors=(errors.Problem("timezone", "no such zone", name[:60]),),
        ) from None


def day(us: int, zone: str) -> str:
    """The date in the zone: `2026-11-21`."""
    return datetime.fromtimestamp(us // clock.SECOND, zone_of(zone)).date().isoformat()


def midnight(us: int, zone: str, *, days: int = 0) -> int:
    """When the zone's day began that `us` lies in, or the day so many `days` later."""
    tz = zone_of(zone)
    date = datetime.fromtimestamp(us // clock.SECOND, tz).date() + timedelta(days=days)
    start = datetime(date.year, date.month, date.day, tzinfo=tz)
    return int(start.timestamp()) * clock.SECOND


def _offset(seconds: int, tz: zoneinfo.ZoneInfo) -> int:
    offset = datetime.fromtimestamp(seconds, tz).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _change(start: int, end: int, tz: zoneinfo.ZoneInfo) -> int | None:
    """The first second in (start, end] that has another offset than `start`, looked for day by day."""
    offset, day_s = _offset(start, tz), clock.DAY // clock.SECOND
    low = start
    while low < end:
        high = min(low + day_s, end)
        if _offset(high, tz) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, tz) == offset else (low, middle)
            return high
        low = high
    return None


def _wrong(spec: str, why: str, *, got: str | None = None) -> errors.UsageError:
    return errors.UsageError(
        f"The schedule {spec!r} cannot be used: {why}.",
        next=_FORMS,
        errors=(errors.Problem("schedule", why, got or spec),),
    )


def machine_zone(_tenant: str) -> str:
    """The zone of this machine, for a tenant whose settings name none."""
    from alfred import config_values

    return config_values.machine_timezone()
