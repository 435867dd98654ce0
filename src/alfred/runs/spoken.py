"""A schedule in words. Whatever has no plain words is said as it is written, so that the words never say another rule."""

from __future__ import annotations

import re

from alfred.runs.schedule import Schedule

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    *("", "January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_UNITS = {"m": "minute", "h": "hour", "d": "day"}


def words(rule: Schedule) -> str:
    """When it fires: `at 08:00 on Monday to Friday`."""
    if rule.kind == "once":
        return f"once, at {rule.rule}"
    if rule.kind == "every":
        found = re.search(r"(\d+)\s*([mhd])", rule.text.lower())
        assert found is not None
        return _every(int(found[1]), _UNITS[found[2]])
    minute, hour, day, month, weekday = rule.rule.split()
    said = [_time(minute, hour)]
    days = [f"on day {_listed(day, ())} of the month"] if not _is_any(day) else []
    days += [f"on {_listed(weekday, _DAYS)}"] if not _is_any(weekday) else []
    # of two of them either is enough, unless one begins with a star
    said.append((" and " if "*" in day + weekday else " or ").join(days))
    if not _is_any(month):
        said.append(f"in {_listed(month, _MONTHS)}")
    if not days and " of every" not in said[0] and not said[0].startswith("every"):
        said.insert(1, "every day")
    return " ".join(part for part in said if part)


def _time(minute: str, hour: str) -> str:
    if minute == hour == "*":
        return "every minute"
    if hour == "*" and (step := re.fullmatch(r"\*/(\d+)", minute)) and 60 % int(step[1]) == 0:
        return _every(int(step[1]), "minute")
    if hour == "*":
        return f"at minute {_listed(minute, ())} of every hour"
    if minute.isdigit() and all(one.isdigit() for one in hour.split(",")):
        return "at " + _joined([f"{int(one):02}:{int(minute):02}" for one in hour.split(",")])
    return f"at minute {_listed(minute, ())} of hour {_listed(hour, ())}"


def _listed(text: str, names: tuple[str, ...]) -> str:
    return _joined([_span(part, names) for part in text.split(",")])


def _span(part: str, names: tuple[str, ...]) -> str:
    if "/" in part or part in ("*", "?"):
        return part
    return " to ".join(_name(one, names) for one in part.split("-"))


def _name(text: str, names: tuple[str, ...]) -> str:
    if text.isdigit() and names:
        number = int(text) % 7 if names is _DAYS else int(text)
        return names[number] if number < len(names) else text
    known = {name[:3].upper(): name for name in names if name}
    return known.get(text.upper(), text)


def _every(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _is_any(text: str) -> bool:
    return text in ("*", "?")
