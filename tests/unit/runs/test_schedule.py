"""When rules fire: against an oracle that looks at every minute, in weeks with and without a clock change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from alfred import clock, errors
from alfred.runs import schedule
from tests.table import table

BERLIN = "Europe/Berlin"
NAMES = {
    "month": ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    "dow": ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}
# Zones with their changes of 2026: an hour, half an hour, over midnight, in the south, none, odd offsets.
WEEKS = [
    ("Europe/Berlin", date(2026, 3, 28)),
    ("Europe/Berlin", date(2026, 10, 24)),
    ("America/New_York", date(2026, 3, 7)),
    ("America/New_York", date(2026, 10, 31)),
    ("Australia/Lord_Howe", date(2026, 4, 4)),
    ("Australia/Lord_Howe", date(2026, 10, 3)),
    ("Africa/Cairo", date(2026, 4, 23)),
    ("Africa/Cairo", date(2026, 10, 28)),
    ("Asia/Beirut", date(2026, 3, 28)),
    ("America/Santiago", date(2026, 4, 4)),
    ("America/Santiago", date(2026, 9, 5)),
    ("Africa/Casablanca", date(2026, 2, 14)),
    ("Antarctica/Troll", date(2026, 3, 28)),
    ("Antarctica/Troll", date(2026, 10, 24)),
    ("Asia/Kathmandu", date(2026, 6, 1)),
    ("Pacific/Apia", date(2011, 12, 29)),  # a whole day that never was
    ("UTC", date(2026, 2, 27)),
]


def us(text: str, zone: str = "UTC") -> int:
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
    return int(at.timestamp()) * clock.SECOND


def shown(slot: int | None, zone: str = "UTC") -> str | None:
    if slot is None:
        return None
    return datetime.fromtimestamp(slot / clock.SECOND, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %z")


def following(rule: str, after: str, zone: str = "UTC", count: int = 3) -> list[str | None]:
    slots = schedule.parse(rule).slots(us(after, zone), us("2200-01-01"), zone)
    return [shown(slot, zone) for slot in islice(slots, count)]


# ---- the oracle: fields read anew, every minute looked at ----


def field(text: str, low: int, high: int, names: tuple[str, ...] = (), base: int = 0) -> set[int]:
    def number(word: str) -> int:
        return names.index(word.upper()) + base if word.upper() in names else int(word)

    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (number(word) for word in span.split("-"))
        else:
            first = number(span)
            last = high if step else first
        found |= set(range(first, last + 1, int(step or 1)))
    return found


@cache
def every_minute(start: datetime, end: datetime, zone: str | None) -> list[datetime]:
    """What a clock on the wall of the zone, or of UTC, shows in every minute from start to end."""
    tz = ZoneInfo(zone) if zone else UTC
    count = (end - start) // timedelta(minutes=1) + 1
    return [
        (start + timedelta(minutes=n)).astimezone(tz).replace(tzinfo=None) for n in range(count)
    ]


class Oracle:
    """A cron rule as Debian's cron understands it."""

    def __init__(self, rule: str):
        minute, hour, dom, month, dow = rule.split()
        self.minutes = field(minute, 0, 59)
        self.hours = field(hour, 0, 23)
        self.doms = field(dom, 1, 31)
        self.months = field(month, 1, 12, tuple(NAMES["month"]), base=1)
        self.dows = {d % 7 for d in field(dow, 0, 7, tuple(NAMES["dow"]))}
        self.both = dom.startswith("*") or dow.startswith("*")
        self.fixed = not (minute.startswith("*") or hour.startswith("*"))

    def shows(self, wall: datetime) -> bool:
        # The narrowest first: this is asked of every minute of a week.
        if wall.minute not in self.minutes or wall.hour not in self.hours:
            return False
        dom, dow = wall.day in self.doms, wall.isoweekday() % 7 in self.dows
        fits = (dom and dow) if self.both else (dom or dow)
        return fits and wall.month in self.months

    def slots(self, start: datetime, end: datetime, zone: str) -> list[int]:
        """Every slot in (start, end], both aware in UTC."""
        tz = ZoneInfo(zone)
        found: set[int] = set()
        if self.fixed:
            # Each wall time once: at its first pass, or right after the gap that it fell into.
            for wall in every_minute(start - timedelta(days=1), end + timedelta(days=1), None):
                if self.shows(wall):
                    real = wall
                    while real.replace(tzinfo=tz).astimezone(UTC).astimezone(tz).replace(
                        tzinfo=None
                    ) != real.replace(tzinfo=None):
                        real += timedelta(minutes=1)
                    found.add(int(real.replace(tzinfo=tz).timestamp()))
        else:
            for number, wall in enumerate(every_minute(start, end, zone)):
                if self.shows(wall):
                    found.add(int(start.timestamp()) + 60 * number)
        low, high = start.timestamp(), end.timestamp()
        return [slot * clock.SECOND for slot in sorted(found) if low < slot <= high]


def terms(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    singles = (
        numbers.map(str) if names is None else st.one_of(numbers.map(str), st.sampled_from(names))
    )
    spans = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.one_of(st.just("*"), spans), st.integers(1, 12)).map(
        lambda p: f"{p[0]}/{p[1]}"
    )
    return st.one_of(
        st.just("*"),
        steps,
        st.lists(st.one_of(singles, spans), min_size=1, max_size=4).map(",".join),
    )


RULES = st.tuples(
    terms(0, 59),
    st.one_of(terms(0, 23), st.sampled_from(["0", "1", "2", "3", "*/2", "0-3", "23"])),
    st.one_of(st.just("*"), st.just("*"), terms(1, 31)),
    st.one_of(st.just("*"), st.just("*"), terms(1, 12, NAMES["month"])),
    st.one_of(st.just("*"), terms(0, 7, NAMES["dow"])),
).map(" ".join)


@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@given(RULES, st.sampled_from(WEEKS))
@example("*/15 2 * * *", ("Australia/Lord_Howe", date(2026, 4, 4)))
@example("*/10 3 * * *", ("Australia/Lord_Howe", date(2026, 10, 3)))
@example("* 0 * * FRI", ("Africa/Cairo", date(2026, 4, 23)))
@example("30 2 * * *", ("Europe/Berlin", date(2026, 3, 28)))
@example("30 2 * * *", ("Europe/Berlin", date(2026, 10, 24)))
@example("0,30 1-3 * * *", ("Europe/Berlin", date(2026, 3, 28)))
@example("5-5/10 1-1/2 * * MON-MON/3", ("UTC", date(2026, 3, 2)))
@example("*/30 * * * *", ("Europe/Berlin", date(2026, 10, 24)))
@pytest.mark.slow
def test_a_cron_rule_fires_in_exactly_the_minutes_that_an_oracle_finds_by_looking_at_each(
    rule: str, week: tuple[str, date]
) -> None:
    zone, first = week
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = start + timedelta(days=3)
    try:
        parsed = schedule.parse(rule)
    except errors.UsageError:  # a day that no month of it has: 31 in February
        assert Oracle(rule).slots(start, end, zone) == []
        return
    wanted = Oracle(rule).slots(start, end, zone)
    low, high = (int(t.timestamp()) * clock.SECOND for t in (start, end))
    found = list(parsed.slots(low, high, zone))
    if found != wanted:
        assert [shown(slot, zone) for slot in found] == [shown(slot, zone) for slot in wanted]


SPECS = st.one_of(
    RULES,
    st.tuples(st.integers(1, 5000), st.sampled_from("mhd")).map(lambda p: f"every {p[0]}{p[1]}"),
    st.sampled_from(sorted(schedule.ALIASES)),
)


@settings(max_examples=50)
@given(
    SPECS,
    st.sampled_from([zone for zone, _ in WEEKS]),
    st.integers(us("1970-01-02"), us("2100-01-01")),
)
def test_next_is_strictly_later_and_nothing_lies_between(spec: str, zone: str, at: int) -> None:
    try:
        rule = schedule.parse(spec)
    except errors.UsageError:
        return
    slot = rule.next_after(at, zone)
    assert slot is not None
    assert slot > at
    assert slot % clock.SECOND == 0
    assert rule.next_after(slot - 1, zone) == slot
    assert rule.next_after((at + slot) // 2, zone) == slot


@settings(max_examples=30)
@given(SPECS, st.sampled_from(WEEKS), st.integers(0, 5 * clock.DAY // clock.SECOND))
def test_the_last_slot_is_the_one_that_walking_finds(
    spec: str, week: tuple[str, date], later: int
) -> None:
    zone, day = week
    try:
        rule = schedule.parse(spec)
    except errors.UsageError:
        return
    start = us(day.isoformat())
    until = start + later * clock.SECOND
    walked = list(rule.slots(start, until, zone))
    if walked:
        assert rule.last(walked[0], until, zone) == walked[-1]


@settings(max_examples=100)
@given(st.text(max_size=40))
@example("9" * 199)
@example("9" * 5000 + " * * * *")
@example("9" * 100 + " * * * *")
@example("² * * * *")
@example("* * * * ²L")
@example("* * L/3 * 1#2")
@example("* * * * LW")
@example("0001-01-01T00:00+23:59")
@example("9999-12-31T23:59-23:59")
@example("every 99999999999999999999d")
@example("@reboot")
@example("\0 * * * *")
def test_any_text_is_a_rule_or_a_usage_error(text: str) -> None:
    try:
        rule = schedule.parse(text)
    except errors.UsageError:
        return
    rule.next_after(us("2026-01-01"), BERLIN)


# ---- examples, written by hand ----


@table(
    [
        ("0 8 * * *", "2026-11-21 08:00", ["2026-11-22 08:00", "2026-11-23 08:00"]),
        ("30 7 * * 1-5", "2026-11-20 07:30", ["2026-11-23 07:30", "2026-11-24 07:30"]),
        ("30 7 * * mon-FRI", "2026-11-20 07:30", ["2026-11-23 07:30", "2026-11-24 07:30"]),
        ("0 0 * * 7", "2026-11-21 00:00", ["2026-11-22 00:00", "2026-11-29 00:00"]),
        ("0 0 * * 0", "2026-11-21 00:00", ["2026-11-22 00:00", "2026-11-29 00:00"]),
        ("0 0 13 * FRI", "2026-11-01 00:00", ["2026-11-06 00:00", "2026-11-13 00:00"]),  # either
        ("0 0 1 jan *", "2026-11-21 00:00", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("*/30 * * * *", "2026-11-21 10:00", ["2026-11-21 10:30", "2026-11-21 11:00"]),
        ("0 */4 * * *", "2026-11-21 10:00", ["2026-11-21 12:00", "2026-11-21 16:00"]),
        ("0 0 29 2 *", "2026-11-21 10:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("@hourly", "2026-11-21 10:00", ["2026-11-21 11:00", "2026-11-21 12:00"]),
        ("@daily", "2026-11-21 10:00", ["2026-11-22 00:00", "2026-11-23 00:00"]),
        ("@midnight", "2026-11-21 10:00", ["2026-11-22 00:00", "2026-11-23 00:00"]),
        ("@weekly", "2026-11-21 10:00", ["2026-11-22 00:00", "2026-11-29 00:00"]),
        ("@monthly", "2026-11-21 10:00", ["2026-12-01 00:00", "2027-01-01 00:00"]),
        ("@yearly", "2026-11-21 10:00", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("@Annually", "2026-11-21 10:00", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("every 15m", "2026-11-21 10:00", ["2026-11-21 10:15", "2026-11-21 10:30"]),
        ("Every  2 h", "2026-11-21 10:00", ["2026-11-21 12:00", "2026-11-21 14:00"]),
        ("every 1d", "2026-11-21 10:00", ["2026-11-22 00:00", "2026-11-23 00:00"]),
    ]
)
def test_rules_mean_what_people_expect(rule: str, after: str, wanted: list[str]) -> None:
    assert following(rule, after, count=2) == [f"{slot} +0000" for slot in wanted]


@pytest.mark.parametrize(
    ("rule", "after", "wanted"),
    [
        # the clock goes from 02:00 to 03:00: once, right after the gap
        ("30 2 * * *", "2026-03-28 12:00", ["2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"]),
        # the clock goes from 03:00 back to 02:00: once, at the first pass
        ("30 2 * * *", "2026-10-24 12:00", ["2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"]),
        # a rule with a star goes by the wall clock: both passes
        ("30 * * * *", "2026-10-25 01:30", ["2026-10-25 02:30 +0200", "2026-10-25 02:30 +0100"]),
        # an interval never notices
        ("every 2h", "2026-10-25 00:00", ["2026-10-25 02:00 +0200", "2026-10-25 03:00 +0100"]),
    ],
)
def test_a_change_of_the_clock_does_what_the_module_says(
    rule: str, after: str, wanted: list[str]
) -> None:
    assert following(rule, after, BERLIN, count=2) == wanted


def test_inside_a_repeated_hour_a_daily_rule_does_not_fire_a_second_time() -> None:
    first_pass = us("2026-10-25T02:45+02:00")
    second_pass = us("2026-10-25T02:15+01:00")
    rule = schedule.parse("30 2 * * *")
    for now in (first_pass, second_pass):
        assert shown(rule.next_after(now, BERLIN), BERLIN) == "2026-10-26 02:30 +0100"


def test_one_time_fires_once() -> None:
    rule = schedule.parse("2027-03-01T09:00")
    slot = rule.next_after(us("2026-11-21"), BERLIN)
    assert shown(slot, BERLIN) == "2027-03-01 09:00 +0100"
    assert slot is not None
    assert rule.next_after(slot, BERLIN) is None
    offset = schedule.parse("2027-03-01 09:00:30+05:30")
    assert offset.next_after(us("2026-11-21"), BERLIN) == us("2027-03-01T03:30:30+00:00")


@table(
    [
        ("", "empty"),
        ("* * * *", "4 fields"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day-of-month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day-of-week '8'"),
        ("* * * FOO *", "month 'FOO'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("5-1 * * * *", "minute '5-1'"),
        ("0 0 31 2 *", "day-of-month '31'"),
        ("0 0 30,31 FEB *", "day-of-month '30,31'"),
        ("@reboot", "known are @yearly"),
        ("every 0m", "at least 1 minute"),
        ("every 30s", "m, h or d"),
        ("every 1.5h", "whole number"),
        ("every 4000d", "ten years"),
        ("2027-13-01T09:00", "no ISO time"),
        ("2027-03-01", "time of the day"),
        ("tomorrow", "1 fields"),
        ("９ * * * *", "plain letters"),
    ]
)
def test_a_wrong_rule_is_refused_and_the_part_that_is_wrong_is_named(rule: str, named: str) -> None:
    with pytest.raises(errors.UsageError, match=r"schedule") as refused:
        schedule.parse(rule)
    assert named in refused.value.detail
    assert refused.value.next is not None
    assert refused.value.errors[0].field == "schedule"


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("0 0 * 2 MON#5", "ten years"),  # a leap year whose February has five Mondays: 2044
        ("2040-01-01T00:00", "ten years"),
        ("2020-01-01T00:00", "past"),
        ("2027-03-28T02:30", "skips"),
    ],
)
def test_a_new_rule_that_would_not_fire_is_refused(rule: str, named: str) -> None:
    with pytest.raises(errors.UsageError) as refused:
        schedule.first(schedule.parse(rule), us("2026-11-21"), BERLIN)
    assert named in refused.value.detail


def test_the_first_slot_of_a_new_rule_lies_ahead() -> None:
    now = us("2026-11-21 10:00")
    assert schedule.first(schedule.parse("0 0 29 2 */7"), now, "UTC") == us("2032-02-29")


@table(["Europe/Berlim", "", "Europe", "../etc/passwd", "/etc/localtime", "UTC\0", "x" * 5000])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(errors.UsageError, match="No time zone") as refused:
        schedule.parse("@daily").next_after(0, name)
    assert refused.value.errors[0].field == "timezone"
    if name == "Europe/Berlim":
        assert refused.value.next == "Did you mean 'Europe/Berlin'?"


def days() -> Iterator[tuple[str, str]]:
    for zone, day in WEEKS:
        yield zone, f"{day.isoformat()}T12:00"


@table(list(days()))
def test_days_begin_at_midnight_of_their_zone_and_touch(zone: str, noon: str) -> None:
    at = us(noon, zone)
    for step in range(4):
        begins = schedule.midnight(at, zone, days=step)
        date_there = schedule.day(begins, zone)
        assert schedule.day(begins - 1, zone) < date_there
        assert schedule.midnight(begins, zone) == begins
    assert schedule.midnight(at, zone) <= at < schedule.midnight(at, zone, days=1)


def test_a_day_is_a_day_of_the_zone() -> None:
    late = us("2026-11-21T23:30+00:00")
    assert schedule.day(late, "UTC") == "2026-11-21"
    assert schedule.day(late, BERLIN) == "2026-11-22"
    assert schedule.midnight(late, BERLIN) == us("2026-11-22", BERLIN)
