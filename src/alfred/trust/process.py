"""What this process has in its memory, the keys of models among it, is not read by other programs of its user.

Invariant: from `close` on neither `/proc/PID/environ` nor `/proc/PID/mem` of this process opens for another process, and
none attaches to it, unless root does; and no core of it is written. It lasts until a program is executed: what this process
starts is as open as ever, and has an environment of its own.
"""

from __future__ import annotations

import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h; proc(5) and ptrace(2) say what follows from it


def close() -> bool:
    """Closes this process to others. False where that is not known how: only Linux is built."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
