"""What the command lines of databases cost: `psql`, `mysql` and `sqlite3` with their SQL on the line.

Invariant: every text that may be SQL is judged as SQL, which knows no commands of a client (`\\!`, `.shell`);
a call without any reads it from somewhere else, and an option that is not in the table may do anything: high.
"""

from __future__ import annotations

from dataclasses import dataclass

from alfred.actions.kinds import Risk
from alfred.actions.places import Place, Zone
from alfred.actions.sql import classify_sql
from alfred.actions.syntax import Word


@dataclass(frozen=True, slots=True)
class Client:
    """How a client is called."""

    flags: frozenset[str]
    """Options that only change how the answer looks."""
    valued: frozenset[str]
    """Options whose value, in the next word, says which database."""
    said: frozenset[str] = frozenset()
    """Options whose value, in the next word, is SQL."""


CLIENTS: dict[str, Client] = {
    "psql": Client(
        frozenset("-A -t -x -q -X -At -tA -qAt --csv --no-psqlrc --tuples-only --no-align".split()),
        frozenset("-d -U -p -h --dbname --username --port --host".split()),
        frozenset(("-c", "--command")),
    ),
    "mysql": Client(
        frozenset("-B -N -s -t --batch --table --skip-column-names".split()),
        frozenset("-D -u -P -h --database --user --port --host".split()),
        frozenset(("-e", "--execute")),
    ),
    "sqlite3": Client(
        frozenset("-json -csv -header -column -line -list -markdown -readonly -batch".split()),
        frozenset(),
    ),
}
"""By the name of the program."""


def judge(name: str, rest: tuple[Word, ...], place: Place) -> Risk:
    """The risk of a client with these words, all of them known."""
    client = CLIENTS[name]
    statements: list[str] = []
    operands: list[Word] = []
    away, n = False, 0
    while n < len(rest):
        text = rest[n].text or ""
        if text in client.said or text in client.valued:
            if n + 1 == len(rest):
                return Risk.HIGH
            value = rest[n + 1]
            if text in client.said:
                statements.append(value.text or "")
            away = away or text in ("-h", "--host") or _address(value)
            n += 1
        elif rest[n].option_like and text not in client.flags:
            return Risk.HIGH
        elif text not in client.flags:
            operands.append(rest[n])
        n += 1
    if not client.said:  # a file, and then SQL
        statements += [word.text or "" for word in operands[1:]]
        operands = operands[:1]
    if not statements:
        return Risk.HIGH
    risk = max(map(classify_sql, statements))
    if not client.said and risk is not Risk.NONE and place.zone(operands[0]) is Zone.OUTSIDE:
        return Risk.HIGH
    # another host is told who asks, and its answer is not from here
    return max(risk, Risk.MEDIUM) if away or any(map(_address, operands)) else risk


def _address(word: Word) -> bool:
    return any(mark in (word.text or "") for mark in ("://", "=", "@"))
