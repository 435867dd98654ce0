"""The command `alfred`. Looks at argv first: the version is answered before anything heavy is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line and returns its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from alfred.version import VERSION

        sys.stdout.write(f"alfred {VERSION}\n")
        return 0
    from alfred.cli import main as cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
