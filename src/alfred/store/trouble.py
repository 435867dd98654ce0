"""What a database refuses or cannot do, as one family of errors, whichever driver said it.

The names are those of PEP 249, which both drivers follow.
"""

from __future__ import annotations


class DatabaseError(Exception):
    """A statement, a commit or a connection failed.

    Attributes:
        orig: What the driver raised.
        cut: The connection is no more, and nothing of its transaction is.
        whose: The pool of that connection; a verb that looks into another database is not that one's to run again.
    """

    def __init__(self, orig: Exception, statement: str, *, cut: bool = False, whose: object = None):
        super().__init__(f"{orig} (at: {statement[:200]})")
        self.orig = orig
        self.cut = cut
        self.whose = whose

    @property
    def said(self) -> str:
        """The first line of what the database said."""
        return str(self.orig).strip().split("\n")[0]

    @property
    def sqlstate(self) -> str | None:
        """Postgres' code of it."""
        return getattr(self.orig, "sqlstate", None)

    @property
    def sqlite_name(self) -> str:
        """SQLite's name of it, as `SQLITE_BUSY`; empty when it has none."""
        return getattr(self.orig, "sqlite_errorname", None) or ""


class IntegrityError(DatabaseError):
    """A constraint does not allow it."""


class DataError(DatabaseError):
    """A value does not fit."""


class ProgrammingError(DatabaseError):
    """The statement is wrong, or its role may not do it."""


_TOO_MUCH = "54"
"""The class of what Postgres has no room for in an index or a statement: the driver calls it trouble of the server, and it
would be tried again for ever."""
_KINDS = {kind.__name__: kind for kind in (IntegrityError, DataError, ProgrammingError)}


def of(
    raised: Exception, statement: str, *, cut: bool = False, whose: object = None
) -> DatabaseError:
    """The driver's error as one of these."""
    if (getattr(raised, "sqlstate", None) or "").startswith(_TOO_MUCH):
        return DataError(raised, statement, cut=cut, whose=whose)
    named = (_KINDS[kind.__name__] for kind in type(raised).__mro__ if kind.__name__ in _KINDS)
    return next(named, DatabaseError)(raised, statement, cut=cut, whose=whose)
