"""Schedules in words."""

from __future__ import annotations

from alfred.runs import schedule, spoken
from tests.table import table


@table(
    [
        ("every 1d", "every day"),
        ("every 15 m", "every 15 minutes"),
        ("2027-03-01T09:00", "once, at 2027-03-01T09:00"),
        ("@daily", "at 00:00 every day"),
        ("@hourly", "at minute 0 of every hour"),
        ("30 7 * * *", "at 07:30 every day"),
        ("0 8,17 * * MON-FRI", "at 08:00 and 17:00 on Monday to Friday"),
        ("0 8 * * 7", "at 08:00 on Sunday"),
        ("0 8 * * 1,3", "at 08:00 on Monday and Wednesday"),
        ("5 * * * *", "at minute 5 of every hour"),
        ("*/10 * * * *", "every 10 minutes"),
        ("*/7 * * * *", "at minute */7 of every hour"),
        ("* * * * *", "every minute"),
        ("0 6 1 * *", "at 06:00 on day 1 of the month"),
        ("0 6 1 JAN,7 *", "at 06:00 on day 1 of the month in January and July"),
        ("0 6 13 * FRI", "at 06:00 on day 13 of the month or on Friday"),
        ("0 6 */2 * FRI", "at 06:00 on day */2 of the month and on Friday"),
        ("*/5 9-17 * * *", "at minute */5 of hour 9 to 17 every day"),
        ("0 6 L * *", "at 06:00 on day L of the month"),
        ("0 6 * * MON#1", "at 06:00 on MON#1"),
    ]
)
def test_a_schedule_is_said_in_words(rule: str, said: str) -> None:
    assert spoken.words(schedule.parse(rule)) == said
