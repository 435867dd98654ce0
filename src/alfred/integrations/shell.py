"""Shell commands in the run's workspace. How a program runs there, and what bounds it, is in `programs`."""

from __future__ import annotations

import re
import shutil
from typing import Annotated, Any

from pydantic import Field

from alfred.actions import Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.integrations import marks, programs
from alfred.integrations.programs import LONGEST
from alfred.trust.redact import redact_data


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    """Where it would run, and the content of the files of the workspace that it names."""
    return programs.target(re.findall(r"[^\s'\"|&;<>()$`=]+", args["command"]), ctx)


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    return programs.preview(args["command"], args, ctx)


@action(
    "shell.run",
    integration="shell",
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
    command: str,
    write: bool = False,
    timeout: Annotated[int, Field(ge=1, le=LONGEST)] = 120,
    *,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Run a command with bash in the workspace, without network, and read what it printed.

    Of long output the head and the tail are shown. Inputs of the run lie at their absolute paths, read-only. At most
    half of the machine's memory can be used.

    Args:
        command: Text for `bash -c`.
        write: Whether it changes files of a folder that the person brought; a person is asked then. `.git`, `.env`
            and what else steers programs cannot be made by it: `files.write` asks for that.
        timeout: Seconds, at most 600.
    """
    return programs.run(
        lambda path: [shutil.which("bash", path=path) or "/bin/sh", "-c", command],
        write=write,
        timeout=timeout,
        ctx=ctx,
    )


ACTIONS = (run,)
