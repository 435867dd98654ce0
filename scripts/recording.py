"""Makes docs/images/demo.svg: the real `alfred demo`, run on a terminal in a small repository, as it printed.

Usage: python scripts/recording.py OUT.svg
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ALFRED = Path(sys.executable).with_name("alfred")


def repository(folder: Path) -> Path:
    """A small repository to look at."""
    made = folder / "weather"
    made.mkdir()
    (made / "README.md").write_text("# Weather station\n\nReads a sensor, keeps a day.\n")
    (made / "sensor.py").write_text("def read():\n    return 21.5\n")
    you = ["-c", "user.name=you", "-c", "user.email=you@localhost"]
    for arguments in (["init", "-q"], ["add", "."], [*you, "commit", "-qm", "Read the sensor"]):
        subprocess.run(["git", *arguments], cwd=made, check=True)
    return made


def record(folder: Path) -> str:
    """What the demo prints on a terminal whose person says yes to the card."""
    said = bytearray()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "110"}
        os.execv(ALFRED, ["alfred", "demo"])
    answered = False
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
        if b"[l]ater:" in said and not answered:
            os.write(terminal, b"y\n")
            answered = True
    os.waitpid(pid, 0)
    return said.decode("utf-8", "replace").replace("\r\n", "\n").replace(str(folder.parent), "~")


def main() -> None:
    """Writes the recording to the file that is named."""
    with tempfile.TemporaryDirectory() as scratch:
        text = record(repository(Path(scratch)))
    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$ make demo[/bold]")
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title="alfred demo")
    # The picture stands alone: whatever monospaced font is there will do.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    Path(sys.argv[1]).write_text(drawn)


if __name__ == "__main__":
    main()
