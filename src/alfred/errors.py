"""Every public error: one hierarchy, one sentence each, with the offending value and the next step.

`code` is the stable name that JSON answers and tests rely on, `exit_code` what the command line ends with
(1 failed, 2 usage or configuration), `status` what the HTTP surfaces answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: the field, what is wrong, what was given."""

    field: str
    message: str
    got: Any = None


class AlfredError(Exception):
    """Something went wrong in alfred."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(
        self,
        detail: str,
        *,
        next: str | None = None,
        errors: tuple[Problem, ...] = (),
        **extra: Any,
    ):
        super().__init__(detail)
        self.detail = detail
        self.next = next
        self.errors = errors
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem: what `--json` prints under `error`, and what HTTP answers."""
        title = (type(self).__doc__ or "").strip().splitlines()[0]
        shown: dict[str, Any] = {
            "type": f"urn:alfred:{self.code}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "next": self.next,
        }
        if self.errors:
            shown["errors"] = [
                {"field": e.field, "message": e.message, "got": e.got} for e in self.errors
            ]
        return shown | self.extra


class UsageError(AlfredError):
    """The command or request was not written as it must be."""

    code, exit_code, status = "usage", 2, 422


class ConfigError(AlfredError):
    """The configuration is wrong."""

    # `detail` tells all that `errors` has, with places.

    code, exit_code, status = "config", 2, 422


class ConfigErrors(ConfigError):
    """Several things in the configuration are wrong."""


class HomeRefused(AlfredError):
    """The home folder belongs to something else, or cannot be used."""

    code, exit_code, status = "home_refused", 2, 503


class NotFound(AlfredError):
    """Nothing has this id or name."""

    code, exit_code, status = "not_found", 2, 404


class Ambiguous(AlfredError):
    """More than one thing fits this id."""

    code, exit_code, status = "ambiguous", 2, 409


class NoModel(AlfredError):
    """No model can be used."""

    code, exit_code, status = "no_model", 2, 503


class AlreadyDecided(AlfredError):
    """The approval was decided before."""

    code, status = "already_decided", 409


class AlreadyEnded(AlfredError):
    """The run is over."""

    code, status = "already_ended", 409


class NameTaken(AlfredError):
    """Something else has this name."""

    code, exit_code, status = "name_taken", 2, 409


class Overlap(AlfredError):
    """The last run of this job is not over."""

    code, status = "overlap", 409


class StaleHash(AlfredError):
    """The content of the approval changed since it was shown."""

    code, status = "stale_hash", 409


class InvalidEdit(AlfredError):
    """What a person made of a call cannot be carried out; the card stays as it was."""

    code, exit_code, status = "invalid_edit", 2, 422


class HashRequired(AlfredError):
    """A high risk is approved only with the hash that its card shows."""

    code, exit_code, status = "hash_required", 2, 422


class SchemaMismatch(AlfredError):
    """The database has another schema than this program."""

    code, exit_code, status = "schema", 2, 503


class StoreUnavailable(AlfredError):
    """The database cannot be reached or written."""

    code, status = "store_unavailable", 503


class BackupRefused(AlfredError):
    """The file is no backup that can be restored, or the ledger it would replace is not empty."""

    code, exit_code, status = "backup_refused", 2, 422


class LeaseLost(AlfredError):
    """Another worker owns the run, or it is over: whatever was being done is dropped."""

    code, status = "lease_lost", 409


class PathRefused(AlfredError):
    """The path leads out of the folder it must stay in, or to something that is no plain file."""

    code, exit_code, status = "path_refused", 2, 422


class FetchRefused(AlfredError):
    """The address may not be fetched."""

    code, status = "fetch_refused", 422


class FetchFailed(AlfredError):
    """The address may be fetched, but no answer came from it."""

    code, status = "fetch_failed", 502


class OutcomeUnknown(AlfredError):
    """An effect was sent and nobody knows what became of it."""

    code = "outcome_unknown"


class CallRefused(AlfredError):
    """The gate refused a call."""

    code = "refused"


class CallFailed(AlfredError):
    """A call was tried and failed."""

    code = "failed"


class NotDeterministic(AlfredError):
    """A step made another call than the one it made before at the same place."""

    code = "nondeterministic_step"


class Parked(BaseException):
    """Leaves a step that must wait. No `except Exception` can eat it; only `runs.execute` catches it."""
