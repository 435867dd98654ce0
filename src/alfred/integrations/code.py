"""Python in the run's workspace, for what is computed rather than looked up. How a program runs there, and what bounds
it, is in `programs`.

Invariant: the text is an argument of the interpreter and never a file, so nothing of it lies in the workspace and nobody
else's text is run in its place.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from alfred import errors
from alfred.actions import Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.integrations import marks, programs
from alfred.integrations.programs import LONGEST
from alfred.trust.redact import redact_data

MOST = 100_000
"""Bytes of code: a program takes no longer argument."""

_WORD = re.compile(r"[^\s'\"|&;<>()\[\]{},$`=]+")
# spaces of one line only: over empty lines each of them would look at all that follow
_IMPORT = re.compile(r"(?:^|[;:])[ \t]*import[ \t]+([^\n;#]+)", re.M)
_FROM = re.compile(
    r"(?:^|[;:])[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]*(?:\(([^)]{0,2000})|([^\n;#]*))", re.M
)


def _words(code: str) -> Iterator[str]:
    """What of the code may be the name of a file of the workspace."""
    yield from _WORD.findall(code)
    for module in _modules(code):
        path = module.replace(".", "/")
        yield from (f"{path}.py", f"{path}/__init__.py")


def _modules(code: str) -> Iterator[str]:
    """What it imports, as far as that stands in it."""
    for names in _IMPORT.findall(code):
        yield from (name.split()[0] for name in names.split(",") if name.strip())
    for module, *names in _FROM.findall(code):
        yield module
        parts = [part for part in "".join(names).split(",") if part.strip()]
        yield from (f"{module}.{part.split()[0]}" for part in parts)


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    """Where it would run, and the content of the files of the workspace that it names."""
    return programs.target(_words(args["code"]), ctx)


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    return programs.preview(args["code"], args, ctx)


def _python(path: str, code: str) -> list[str]:
    found = shutil.which("python3", path=path)
    if found is None:
        raise errors.CallFailed(
            "There is no python3 where code would run.",
            next="shell.run runs what the machine has.",
        )
    # nothing that it compiles is left in the workspace, and what it prints is told as it comes
    return [found, "-B", "-u", "-X", "utf8", "-c", code]


@action(
    "code.run",
    integration="code",
    risk=Risk.NONE,
    effect=Effect.BLIND,
    classify=programs.risk,
    target=_target,
    preview=_preview,
    redact=redact_data,
    label=marks.of_workspace,
    timeout=LONGEST + 30,
)
def run(
    code: str,
    write: bool = False,
    timeout: Annotated[int, Field(ge=1, le=LONGEST)] = 120,
    *,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Run Python 3 in the workspace, without network, and read what it printed: nothing is shown that is not printed.

    The machine's own interpreter runs it, with what is installed there; modules of the workspace can be imported. Each call
    begins anew. Of long output the head and the tail are shown. Inputs of the run lie at their absolute paths, read-only.

    Args:
        code: The whole program.
        write: Whether it changes files of a folder that the person brought; a person is asked then. `.git`, `.env`
            and what else steers programs cannot be made by it: `files.write` asks for that.
        timeout: Seconds, at most 600.
    """
    if len(code.encode("utf-8", "surrogatepass")) > MOST:
        raise errors.CallFailed(
            f"Code has at most {MOST} bytes.",
            next="Write a file with files.write, and run that with shell.run.",
        )
    return programs.run(lambda path: _python(path, code), write=write, timeout=timeout, ctx=ctx)


ACTIONS = (run,)
