"""One of several processes that decide the same card, all at once.

Usage: python -m tests.promises.deciders URL CARD HOW_MANY NUMBER
Waits for a line on its input, decides HOW_MANY times from eight threads, and prints what it was told.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import sys

from alfred import errors, ids
from alfred.actions import approvals
from alfred.store import connect

MIX = (
    ("approve", "test"),
    ("reject", "test"),
    ("reject_and_end", "test"),
    ("auto_approve", "auto"),
    ("expire", "expiry"),
)


def main() -> None:
    url, card, times, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = connect.open_store(url)
    told: collections.Counter[str] = collections.Counter()

    def decide(n: int) -> str:
        decision, via = MIX[(n + number) % len(MIX)]
        try:
            decided = store.transact(
                approvals.decide,
                approvals.Decision(
                    approval_id=card,
                    decision=decision,
                    by=f"{number}.{n}",
                    via=via,
                    token=ids.new(),
                ),
            )
        except errors.AlreadyDecided as late:
            if late.extra["decision"] is None:
                return f"out of time, {decision}"
            return f"late, {late.extra['decision']} by {late.extra['decided_by']}"
        return f"won, {decided.decision} by {decided.decided_by}"

    print("ready", flush=True)
    sys.stdin.readline()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told.update(pool.map(decide, range(times)))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
