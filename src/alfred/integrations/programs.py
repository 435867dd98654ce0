"""Programs in the run's workspace: inside the sandbox where there is one, told to the end, bounded.

The sandbox has no network and of the machine only what programs need; a workspace that the person brought
is read-only in it unless the call asks to write, and then what steers other programs is taken away again where
the program made it. Outside of the sandbox every program is a high risk, whatever it
is told, also where `sandbox: off` is written. What the gate judged a call on is bound to it: a machine
without the sandbox that the call was judged with does not run it. When a program ends, is cancelled or runs
out of time, has more processes than it may, or when alfred dies, everything that it started dies too.

The effect is blind: nobody can tell from outside whether a program has run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from alfred import clock, errors
from alfred.actions import Risk
from alfred.actions.context import ActionContext
from alfred.engines import process
from alfred.integrations import excerpt, judged, marks, places
from alfred.trust import display, memory, paths, planted, sandbox
from alfred.trust.redact import ByteRedactor, redact

LONGEST = 600
"""Seconds that a program may take at most."""

OUTPUT = 20_000_000
"""Bytes of output; a program that writes more is ended."""

_PROGRESS = clock.SECOND // 3  # between two lines of progress: each is a row
_LINE = 200  # characters of a line of progress
_HASHED = 50_000_000  # bytes of the files that a call names which are read to tell them apart
_SHORT = (
    *("of memory", "memoryerror", "cannot allocate", "out of memory", "outofmemory", "bad_alloc"),
    "no space left on device",
)  # in what programs say that get no more memory, or no room for a file that lies in it


def sandboxed(ctx: ActionContext) -> str | None:
    """The kind of sandbox that programs of this run get here; None: they get none."""
    off = ctx.settings.sandbox_of(ctx.agent) == "off"
    return None if off else sandbox.available().kind


def risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    """The risk of a call with these arguments, of which `write` is one."""
    if sandboxed(ctx):
        free = ctx.workspace.made or not args["write"]
        return Risk.NONE if free else places.risk(ctx, ".")
    # Words do not bound a program: `git status` runs what the repository's configuration names.
    return Risk.HIGH


def target(words: Iterable[str], ctx: ActionContext) -> dict[str, Any]:
    """What a call is bound to: where it would run, and the content of the files of the workspace that it names.

    Args:
        words: What may be the name of a file.
    """
    found: dict[str, str] = {}
    room = _HASHED
    for word in dict.fromkeys(words):
        try:
            path = places.relative(ctx.workspace.root, word)
            with paths.open_beneath(ctx.workspace.root, path, "rb") as file:
                there = os.fstat(file.fileno())
                if there.st_size <= room:
                    room -= there.st_size
                    found[path] = hashlib.sha256(file.read()).hexdigest()
                else:  # as the system tells that it is another one, or was written
                    found[path] = f"{there.st_ino} {there.st_size} {there.st_ctime_ns}"
        except (errors.PathRefused, OSError):
            continue  # no file of the workspace
    return {"sandbox": sandboxed(ctx), "files": found}


def preview(text: str, args: dict[str, Any], ctx: ActionContext) -> str:
    """What a card shows: the text that is run, where, and for how long at most."""
    kind = sandboxed(ctx)
    if kind:
        files = "may be changed" if _writable(ctx, args["write"]) else "can only be read"
        where = f"in the sandbox ({kind}, no network); files of the workspace {files}"
    else:
        where = "WITHOUT a sandbox: it can read and change whatever you can, and use the network"
    return redact(f"{text}\n\nin {ctx.workspace.root}\n{where}\nat most {args['timeout']} s")


def run(
    command: Callable[[str], list[str]], *, write: bool, timeout: int, ctx: ActionContext
) -> dict[str, Any]:
    """Runs a program in the workspace, and tells how it ended and what it printed.

    Args:
        command: The program and its arguments, for the PATH on which the program is looked for.
        write: Whether it may change files of a folder that the person brought.
        timeout: Seconds.

    Raises:
        CallFailed: the call was judged with a sandbox, and there is none here; or there is no such program.
    """
    kind = sandboxed(ctx)
    seen = judged.target(ctx)
    if kind is None and (not isinstance(seen, dict) or seen.get("sandbox", "?") is not None):
        raise errors.CallFailed(
            "This call was judged with a sandbox, and there is none where it would run now.",
            next="Propose it again.",
        )
    words = command(sandbox.PATH if kind else os.environ.get("PATH", os.defpath))
    if kind is None or _writable(ctx, write):
        marks.changed_by_program(ctx)
    left_out: list[str] = []
    # In a folder of our own nobody's programs are steered.
    guarded = kind is not None and write and not ctx.workspace.made
    root, home = ctx.workspace.root, places.installation(ctx)
    before = planted.seen(root, but=home) if guarded else planted.Seen()
    if kind:
        argv = _in_sandbox(words, _writable(ctx, write), ctx, left_out, before.files)
        env: dict[str, str] = {}
    else:
        argv, env = words, _environment()
    output = _Output(ctx)
    planted_by_it: list[str] = []
    try:
        ended = process.run(
            argv,
            cwd=root,
            env=env,
            timeout=timeout,
            out=output.feed,
            max_bytes=OUTPUT,
            on_cancel=ctx.on_cancel,
            processes=sandbox.PROCESSES,
            memory=memory.most(),
            guard=True,  # the sandbox dies with us by itself, but not from its first instant on
        )
    finally:
        output.close()
        if guarded:
            kept = ctx.home / "logs" / ctx.run_id / f"{ctx.call_id}.taken"
            planted_by_it = planted.take_away(root, before, kept, but=home)
    answer: dict[str, Any] = {
        "exit_code": ended.code,
        "output": output.excerpt.shown(),
        "length": output.excerpt.length,
        "sandbox": kind,
    }
    if ended.why != "exit":
        answer["ended"] = {
            "timeout": f"ended after {timeout} s",
            "cancelled": "cancelled",
            "too_much": f"ended after {OUTPUT} bytes of output",
        }[ended.why]
    if ended.code and any(word in answer["output"].lower() for word in _SHORT):
        answer["memory"] = (
            f"A program may use {memory.text(memory.most())} of memory here, with all that it starts"
            + (
                f", and {memory.text(memory.files())} in files of /tmp"
                if kind == "bubblewrap"
                else ""
            )
        )
    if output.problem:
        answer["log_problem"] = output.problem
    if left_out:
        answer["inputs_left_out"] = left_out
    if planted_by_it:
        answer["ATTENTION"] = [
            *planted_by_it,
            "A program does not make what steers git, builds, editors or agents: `files.write` asks for it.",
        ]
    return answer


def _writable(ctx: ActionContext, write: bool) -> bool:
    return ctx.workspace.made or write


def _in_sandbox(
    words: list[str], writable: bool, ctx: ActionContext, left_out: list[str], held: list[str]
) -> list[str]:
    home = places.installation(ctx)
    readable: list[Path] = []
    for name, path in ctx.inputs.items():
        try:
            readable.append(sandbox.mountable(path, home=home))
        except errors.PathRefused as why:
            left_out.append(f"{name}: {why.detail}")
    return sandbox.build(
        words,
        workspace=ctx.workspace.root,
        home=home,
        writable=writable,
        readable=readable,
        held=held,
    )


def _environment() -> dict[str, str]:
    """What a program outside of a sandbox finds in its environment: nothing that could be a secret."""
    kept = ("PATH", "HOME", "LANG", "TERM", "TMPDIR", "TZ")
    defaults = {"PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "dumb"}
    return defaults | {name: os.environ[name] for name in kept if name in os.environ}


class _Output:
    """Takes the bytes of a program: as text without secrets into the log, the excerpt and the progress."""

    def __init__(self, ctx: ActionContext) -> None:
        self.excerpt = excerpt.Excerpt()
        self.problem: str | None = None
        """Why the log is not complete."""
        self._ctx = ctx
        self._redactor = ByteRedactor()
        self._said_at: int | None = None
        self._line = ""
        self._log: int | None = None
        folder = ctx.home / "logs" / ctx.run_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._log = os.open(folder / f"{ctx.call_id}.log", flags, 0o600)
        except OSError as why:
            self.problem = f"there is no log: {why.strerror}"

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        self._take(self._redactor.feed(chunk))

    def close(self) -> None:
        """The last ones were given."""
        self._take(self._redactor.close())
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _take(self, text: str) -> None:
        if not text:
            return
        self.excerpt.feed(text)
        if self._log is not None:
            try:
                raw = memoryview(text.encode("utf-8", "replace"))
                while raw:
                    raw = raw[os.write(self._log, raw) :]
            except OSError as why:
                self.problem = f"the log is not complete: {why.strerror}"
                os.close(self._log)
                self._log = None
        self._progress(text)

    def _progress(self, text: str) -> None:
        """Tells the newest whole line, now and then."""
        lines = (self._line + text).split("\n")
        self._line = lines.pop()[-_LINE:]
        newest = next((line for line in reversed(lines) if line.strip()), None)
        now = clock.monotonic()
        if newest is None or (self._said_at is not None and now - self._said_at < _PROGRESS):
            return
        self._said_at = now
        self._ctx.emit(display.display(newest.strip(), limit=_LINE))
