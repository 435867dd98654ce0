"""How much memory a command may use: half of what the machine has, or the container that alfred runs in."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


@functools.cache
def most() -> int:
    """Bytes that a command and everything it starts may use together."""
    return machine() // 2


def files() -> int:
    """Bytes that may lie in one folder of the sandbox that is held in memory."""
    return most() // 4


def machine() -> int:
    """Bytes of memory that there are for us: of the machine, or what the control group of this process may use."""
    return min(_physical(), *_allowed(Path("/proc/self/cgroup"), _GROUPS))


def text(size: int) -> str:
    """Bytes as people read them: `12.1 GB`."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def _physical() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _allowed(of_process: Path, groups: Path) -> Iterator[int]:
    """The limits of the groups that the process is in, whichever version of them the system has; none elsewhere."""
    yield _physical()
    try:
        lines = of_process.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            try:
                said = (folder / name).read_text().strip()
            except OSError:
                continue
            if said.isdecimal() and int(said) > 0:
                yield int(said)
