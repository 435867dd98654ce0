"""The command `alfred`. Looks at argv first: the version is answered before anything heavy is imported.

Invariant: from the first import on, Ctrl-C ends the process with 130 and without a traceback, and the numbers of the
three standard streams belong to streams, whatever the caller closed. Before a secret is read the process is closed to others.
"""

from __future__ import annotations

import gc
import io
import os
import sys


def main() -> int:
    """Runs the command line and returns its exit code."""
    try:
        _open_streams()
        words = set(sys.argv[1:])
        if words & {"--version", "-V"} and words <= {"--version", "-V", "--json"}:
            return _version(as_json="--json" in words)
        # What is imported stays: the collector of garbage need not look through it every 700 objects.
        gc.set_threshold(20_000, 10, 10)
        from alfred.trust import process

        process.close()
        from alfred.cli import main as cli

        return cli.main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def _version(*, as_json: bool) -> int:
    from alfred.version import VERSION

    sys.stdout.write(f'{{"version": "{VERSION}"}}\n' if as_json else f"alfred {VERSION}\n")
    return 0


def _open_streams() -> None:
    """What the caller closed (`>&-`) leads nowhere; its number is not left to the next file that is opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode))
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is typed in another set of letters is read as arguments are, in every locale.
        sys.stdin.reconfigure(errors="surrogateescape")


if __name__ == "__main__":
    sys.exit(main())
