"""One life in a process of its own, from a cold start, to be killed from outside.

Usage: python -m tests.crash.cold SCENARIO URL HOME SCRIPT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.crash import parts as whole
from tests.crash import scenarios


def main() -> None:
    name, url, home, script = sys.argv[1:]
    parts = whole.put_together(url, Path(home), Path(script), scenarios.WORKFLOWS)
    print("begins", flush=True)
    whole.play(parts, scenarios.SCENARIOS[name])
    print(json.dumps(whole.judge(parts, scenarios.SCENARIOS[name])), flush=True)


if __name__ == "__main__":
    main()
