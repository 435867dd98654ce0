"""Arguments that hold a secret, as rows keep them: without it for whoever looks, and sealed for who carries them out.

Invariants: no column that is read, searched or exported holds a secret which `redact` knows; what is carried out is what
was proposed and approved, to the letter. The seal is made with the installation's key, which lies in the same database:
it keeps secrets out of what greps, lists, exports and copies single rows, not from who has the whole database.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

from alfred import clock, errors
from alfred.actions import canonical
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_INSTALLATION_KEY = Sql("select v from meta where k='installation_key'")


def installation_key(tx: Tx) -> bytes:
    """The secret of this installation, which effect keys and seals are made with.

    Raises:
        StoreUnavailable: the database has none.
    """
    found = tx(_INSTALLATION_KEY).scalar()
    if not found:
        raise errors.StoreUnavailable(
            "The database has no installation key.", next="`alfred doctor --fix`"
        )
    return bytes.fromhex(found)


def clean(args: str) -> str:
    """Canonical arguments without their secrets; the same text when there are none in them."""
    try:
        value = json.loads(args)
    except ValueError:
        return redact.redact(args)
    hidden = redact.redact_data(value)
    return args if hidden == value else canonical.canonical_json(hidden)


def close(tx: Tx, args: str) -> tuple[str, str | None]:
    """The two columns of arguments: as they may be seen, and the seal of the whole, None when nothing is left out."""
    shown = clean(args)
    if shown == args:
        return args, None
    at = clock.now() // clock.SECOND
    return shown, _cipher(tx).encrypt_at_time(args.encode(), at).decode("ascii")


def open_(tx: Tx, shown: str, seal: str | None) -> str:
    """The arguments as they were proposed.

    Raises:
        StoreUnavailable: the seal was made with another installation's key, or was changed.
    """
    if seal is None:
        return shown
    from cryptography.fernet import InvalidToken

    try:
        return _cipher(tx).decrypt(seal.encode("ascii")).decode()
    except InvalidToken:
        raise errors.StoreUnavailable(
            "The arguments of a call are sealed with another key than this database has.",
            next="Restore a whole backup: `alfred db restore`.",
        ) from None


def _cipher(tx: Tx) -> Fernet:
    from cryptography.fernet import Fernet

    key = hashlib.sha256(b"alfred: arguments of calls\0" + installation_key(tx)).digest()
    return Fernet(base64.urlsafe_b64encode(key))
