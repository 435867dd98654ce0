"""The command tree. Commands are named here and imported when they are called, so that each loads only what it needs."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import cyclopts

from alfred import errors
from alfred.cli import terminal
from alfred.cli.leaving import Left
from alfred.version import VERSION

_QUIET = cyclopts.Parameter(show_default=lambda value: value or None)
"""A switch that is off says nothing about its default."""

_NARROW, _WIDE = 40, 1000
"""Columns that help is laid out in, at least and at most."""

_NO_THREAD = "can't start new thread"
"""How Python says that the system has none left."""

_HELP = "An assistant that keeps working when the window is closed, and never acts beyond what its owner allowed."

Command = tuple[str, str, str]
"""A command's name, its function below `alfred.cli`, what it does."""

_COMMANDS: dict[str, tuple[Command, ...]] = {
    "Work": (
        ("run", "work:run", "Give alfred something to do, and watch it."),
        ("chat", "chat:chat", "Talk with an agent."),
        ("tell", "steer:tell", "Say something to a run."),
        ("stop", "steer:stop", "Stop everything (--all)."),
    ),
    "Decide": (
        ("approve", "approve:approve", "Allow what a card shows."),
        ("edit", "edit:edit", "Change what a card would do, and allow that."),
        ("reject", "approve:reject", "Say no to a card."),
        ("answer", "approve:answer", "Answer a question."),
        ("endorse", "endorse:endorse", "Say that you have read files with strangers' words."),
    ),
    "Look": (
        ("status", "show:status", "What runs, what waits for you, what it costs."),
        ("spend", "show:spend", "What was spent."),
        ("tools", "show:tools", "What an agent may use, and how each call is decided."),
        ("route", "route:route", "Say which agent a message would reach, and by which binding."),
    ),
    "Set up and keep going": (
        ("setup", "setup:setup", "Make the home, and a first config.yaml."),
        (
            "doctor",
            "doctor:doctor",
            "Look at everything alfred needs, and say what to do about what is wrong.",
        ),
        (
            "demo",
            "demo:demo",
            "See it work: a run on this repository, a card, a kill -9, and the same run again.",
        ),
        ("worker", "serve:worker", "Execute runs in this process."),
        ("serve", "serve:serve", "Worker, timers and sweep in one process. Opens no port yet."),
    ),
}
"""Commands of one word, by what a person wants of them: the panels of `alfred --help`."""

_GROUPS: dict[str, tuple[tuple[str, str, tuple[Command, ...]], ...]] = {
    "Work": (
        (
            "runs",
            "List, look at, watch, cancel and resume runs.",
            (
                ("list", "runs:runs_list", "Runs, newest first."),
                (
                    "show",
                    "runs:runs_show",
                    "One run: its steps, what was said, its calls and cards.",
                ),
                ("watch", "work:watch", "Watch a run until it ends."),
                ("export", "exported:export", "Write a run into one file."),
                ("cancel", "steer:cancel", "End a run and everything below it."),
                (
                    "fork",
                    "work:fork",
                    "Begin another run where this one was behind a step.",
                ),
                (
                    "replay",
                    "work:replay",
                    "Ask another model what this run's model was asked; do nothing.",
                ),
                (
                    "resume",
                    "work:resume",
                    "Go on with a run here and now; --all takes a stop away.",
                ),
            ),
        ),
    ),
    "Decide": (
        (
            "approvals",
            "Cards: what waits for a person.",
            (("list", "approve:approvals_list", "Cards that wait, with what each would do."),),
        ),
    ),
    "Look": (
        (
            "policy",
            "What is decided by itself, and what is asked.",
            (
                ("explain", "policy:explain", "Say step by step how a call is decided."),
                ("allow", "policy:allow", "Make a rule of a card, so that its kind asks no more."),
                ("accept", "policy:accept", "Make a rule that alfred proposes."),
                ("decline", "policy:decline", "Say no to a rule that alfred proposes."),
            ),
        ),
        (
            "agents",
            "Who works here.",
            (
                ("list", "agents:agents_list", "Every agent, with its model and its tools."),
                ("show", "agents:agents_show", "One agent, and where each value comes from."),
                ("add", "agents_edit:agents_add", "Write an agent into config.yaml."),
                ("remove", "agents_edit:agents_remove", "Take an agent out of config.yaml."),
                ("check", "agents:agents_check", "Say what is wrong or probably not meant."),
            ),
        ),
        (
            "skills",
            "Procedures that agents can read.",
            (
                ("list", "skills:skills_list", "The skills of an agent, and what is none."),
                ("show", "skills:skills_show", "One skill, as its agent reads it."),
            ),
        ),
        (
            "workflows",
            "Work that you have written down: what there is, and what you allow it.",
            (
                ("list", "workflows:workflows_list", "Every workflow, and how it stands."),
                ("show", "workflows:workflows_show", "One workflow, and what it may do."),
                ("check", "workflows:workflows_check", "Say what is wrong or probably not meant."),
                ("activate", "workflows:activate", "Show what one may do, and let it."),
                ("deactivate", "workflows:deactivate", "Let it start no more."),
            ),
        ),
        (
            "audit",
            "Who decided what.",
            (
                ("verify", "audit:verify", "Walk the hash chain, here or of an exported file."),
                ("export", "audit:export", "Write the chain into one file."),
            ),
        ),
    ),
    "Set up and keep going": (
        (
            "config",
            "Settings.",
            (
                ("show", "setup:show_settings", "Every value, and where it comes from."),
                ("edit", "setup:edit_setting", "Set one value, keeping comments."),
                ("schema", "setup:print_schema", "The JSON schema of config.yaml."),
            ),
        ),
        (
            "db",
            "The ledger's database.",
            (
                ("upgrade", "database:upgrade", "Bring the schema to this program's version."),
                ("backup", "database:backup", "Write a backup."),
                ("restore", "database:restore", "Put a backup back."),
                ("move", "database:move", "Carry every row to another database."),
                ("check", "database:check", "Look for damage and broken invariants."),
            ),
        ),
    ),
}
"""Commands of two words, in the same panels: their group, what it is about, its commands. One that has a `list` means
that when it is said alone."""


def tree() -> cyclopts.App:
    """Every command, by name."""
    root = cyclopts.App(
        name="alfred",
        help=_HELP,
        version=f"alfred {VERSION}",
        result_action="return_value",
        help_format="plaintext",
        default_parameter=_QUIET,
        group_commands=cyclopts.Group("Besides", sort_key=len(_COMMANDS)),
    )
    for number, (title, commands) in enumerate(_COMMANDS.items()):
        panel = cyclopts.Group(title, sort_key=number)
        for name, where, about in commands:
            root.command(f"alfred.cli.{where}", name=name, help=about, group=panel)
        for name, about, below in _GROUPS.get(title, ()):
            sub = cyclopts.App(
                name=name,
                help=about,
                help_format="plaintext",
                default_parameter=_QUIET,
                group=panel,
            )
            for inner, where, about_inner in below:
                alone = f" Also `alfred {name}` alone." if inner == "list" else ""
                sub.command(f"alfred.cli.{where}", name=inner, help=about_inner + alone)
            root.command(sub)
    root.register_install_completion_command(name="--install-completion")
    return root


def _lists(below: Sequence[Command]) -> bool:
    return any(name == "list" for name, _where, _about in below)


def _whole(argv: Sequence[str]) -> list[str]:
    """What was meant: `alfred runs`, with or without options, is `alfred runs list`."""
    listed = {name for panel in _GROUPS.values() for name, _about, below in panel if _lists(below)}
    group, *rest = argv or ("",)
    asks_how = {"--help", "-h", "--version"} & set(rest)
    if group in listed and not asks_how and (not rest or rest[0].startswith("-")):
        return [group, "list", *rest]
    return list(argv)


def main(argv: Sequence[str]) -> int:
    """Runs one command; its exit code. No traceback for a person's mistake."""
    as_json = "--json" in argv
    _put_right()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold bytes that are no text, and a terminal may know few letters. What cannot be
            # written is escaped, which is valid in JSON too.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _ended(argv, as_json=as_json)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return code
    except OSError:
        # Nobody reads any more (`| head -1`), or what was said cannot be written: Python must not complain at exit.
        for stream in (sys.stdout, sys.stderr):
            _hush(stream)
        return 1


def _put_right() -> None:
    """What libraries fail at in an environment: an account without a home, as a container's may be, has `/`, as Docker has
    it; where no line of help fits, or the width is no number, help is written for one where it does."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"
    width = shutil.get_terminal_size().columns
    if "COLUMNS" in os.environ or width < _NARROW:
        os.environ["COLUMNS"] = str(min(max(width, _NARROW), _WIDE))


def _ended(argv: Sequence[str], *, as_json: bool) -> int:
    """The exit code of a command, and of whatever ended it.

    Raises:
        OSError: what there is to say cannot be written.
    """
    try:
        code = tree()(_whole(argv), exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except errors.AlfredError as problem:
        return terminal.fail(problem, as_json=as_json)
    except cyclopts.CycloptsError as problem:
        how = f"`{_named(problem)} --help` shows how it is written."
        return terminal.fail(errors.UsageError(_told(problem), next=how), as_json=as_json)
    except KeyboardInterrupt:
        terminal.say("")
        return 130
    except Left as left:
        terminal.say("")
        return left.code
    except BrokenPipeError:
        raise
    except OSError as problem:
        name = f" {problem.filename!r}" if problem.filename else ""
        next_ = (
            "Check the path, its permissions and the free space; `alfred doctor` looks at the home."
        )
        if problem.errno in (errno.EMFILE, errno.ENFILE):
            next_ = "Allow more open files: `ulimit -n`."
        return terminal.fail(
            errors.AlfredError(
                f"The system refused{name}: {problem.strerror or problem}.", next=next_
            ),
            as_json=as_json,
        )
    except Exception as problem:
        if isinstance(problem, MemoryError) or str(problem) == _NO_THREAD:
            told = "The system gives this process no more memory or threads."
            next_ = "Look at `ulimit -a`, and at the limits of the container; nothing that was committed is lost."
            return terminal.fail(errors.AlfredError(told, next=next_), as_json=as_json)
        return _crashed(problem, as_json=as_json)


def _hush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(problem: cyclopts.CycloptsError) -> str:
    """What is wrong with what was typed, in the words of who typed it."""
    said = " ".join(str(problem).split())
    if said.startswith('Unknown command "-'):
        return "A command comes first, its options behind it."
    if isinstance(problem, cyclopts.UnusedCliTokensError):
        words = " ".join(problem.unused_tokens or ())
        return f"Too much was said: {words!r}. What has spaces in it stands in quotes."
    for kind, meant in (("int", "a whole number"), ("float", "a number")):
        said = re.sub(rf'unable to convert (".*") into {kind}\.$', rf"\1 is not {meant}.", said)
    return said


def _named(problem: cyclopts.CycloptsError) -> str:
    """The command that was meant, as far as it was understood."""
    chain = problem.command_chain or ()
    return " ".join(("alfred", *chain))


def _crashed(problem: Exception, *, as_json: bool) -> int:
    from alfred import home
    from alfred.trust import redact

    where = home.path() / "logs" / "crash.log"
    told = f"This is a mistake in alfred: {type(problem).__name__}."
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as log:
            log.write(redact.redact(traceback.format_exc()) + "\n")
        next_ = f"What happened is written down in {where}; nothing that was committed is lost."
    except OSError:
        next_ = "It could not be written down, because the home cannot be written."
    return terminal.fail(errors.AlfredError(told, next=next_), as_json=as_json)
