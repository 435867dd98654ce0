"""Workflows that a person writes: Markdown files in `workflows/` of the home, read and judged as texts.

    ---
    agent: ops                      who does it; else the default agent
    schedule: 0 8 * * MON           and whenever somebody starts it
    tools: [git.log, notify.send]   what it may call, of what the agent may
    ---
    Look at the commits since {{since}} and tell me what changed.

Invariants: what cannot be understood is an error with its file and line, all of them together, and a file with one is no
workflow; a file means the same whatever its comments, order of keys and line endings are, and `revision` is the hash of that
meaning; nothing is read through a link, and what is invisible is written out. Nothing here says what a workflow may do: a file
is a wish, and `contracts` has what a person allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from alfred import config_text, errors
from alfred import home as places
from alfred.actions import canonical
from alfred.agents import tools as agents_tools
from alfred.config_text import Document, Finding, Where
from alfred.memory import written
from alfred.runs import schedule
from alfred.trust import paths

KEYS = (
    *("slug", "brief", "trigger", "agent", "integrations", "tools", "destinations"),
    *("autonomy", "schedule", "inputs"),
)
TRIGGERS = ("manual", "schedule")
AUTONOMY = ("gated", "autonomous")
BUILT_IN = ("agent", "ask", "replay", "smoke")
"""Names of workflows that come with alfred."""

LONGEST_SLUG = 64
LONGEST_BRIEF = 8_000
"""Characters: no card shows more of one."""
LONGEST = 200
"""Characters of a name, a destination or a default."""
MOST = 100
"""Entries of a list."""

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_INPUT = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
"""Spaces around the name are taken off behind it: looked for in here, a text without an end takes the cube of its length."""

Autonomy = Literal["gated", "autonomous"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a file means.

    Attributes:
        brief: What its runs are asked, with `{{name}}` where inputs go.
        agent: None: the default agent.
        integrations: None: whichever its tools are of.
        tools: Names and patterns; None: every tool of its integrations.
        inputs: Their defaults; None: one that has to be given.
    """

    slug: str
    brief: str
    agent: str | None = None
    schedule: str | None = None
    integrations: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    destinations: tuple[str, ...] = ()
    autonomy: Autonomy = "gated"
    inputs: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """SHA-256 of all that it means."""
        return canonical.digest(
            {
                "slug": self.slug,
                "brief": self.brief,
                "agent": self.agent,
                "schedule": self.schedule,
                "integrations": _sorted(self.integrations),
                "tools": _sorted(self.tools),
                "destinations": _sorted(self.destinations),
                "autonomy": self.autonomy,
                "inputs": dict(self.inputs),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file as far as it is understood.

    Attributes:
        definition: What it means; not to be used while there are findings.
        document: Where its keys stand.
    """

    definition: Definition
    text: str
    document: Document
    findings: tuple[Finding, ...]


def slugs(home: Path) -> list[str]:
    """The names of the files that may be workflows, sorted; hidden ones and folders are none."""
    try:
        entries = paths.listing(places.workflows(home))
    except (FileNotFoundError, NotADirectoryError):
        return []
    there = [one.path for one in entries if one.kind != "folder" and not one.path.startswith(".")]
    return [name.removesuffix(".md") for name in there if name.endswith(".md")]


def file_of(home: Path, slug: str) -> Path:
    """The file of a workflow."""
    return places.workflows(home) / f"{slug}.md"


def look(home: Path, slug: str) -> Draft:
    """What lies in the file of a workflow now, with all that is wrong with it.

    Raises:
        NotFound: there is no such file.
    """
    name = f"workflows/{slug}.md"
    there = slugs(home)
    if slug not in there:
        raise errors.NotFound(
            f"No workflow is called {config_text.shown(slug)}.",
            next=config_text.advice(slug, there, "`alfred workflows list` shows them."),
        )
    try:
        text = written.text_of(places.workflows(home), f"{slug}.md")
    except (OSError, errors.AlfredError) as problem:
        wrong = Finding((), f"cannot be read: {written.said(problem)}", place=name)
        empty = Definition(slug=slug, brief="")
        return Draft(definition=empty, text="", document=Document(name), findings=(wrong,))
    return parse(text, slug)


def read(home: Path, slug: str) -> Draft:
    """The same, of one that is right.

    Raises:
        NotFound: there is no such file.
        ConfigError: all that is wrong with it, with its lines.
    """
    draft = look(home, slug)
    if draft.findings:
        raise wrong(home, slug, draft.findings)
    return draft


def wrong(home: Path, slug: str, findings: Sequence[Finding]) -> errors.ConfigError:
    """All of this as one error."""
    return config_text.raised(findings, f"Correct {file_of(home, slug)}.", of=f"workflow {slug}")


def parse(text: str, slug: str) -> Draft:
    """Reads a text as the file of a workflow. Pure."""
    name = f"workflows/{slug}.md"
    parts = written.parts(text, name)
    if parts is None:
        made = Document(name)
        made.findings.append(Finding((), written.NO_FRONT, place=f"{name}:1"))
        empty = Definition(slug=slug, brief="")
        return Draft(definition=empty, text=text, document=made, findings=tuple(made.findings))
    reading = _Reading(parts.front)
    reading.keys()
    reading.slug(slug)
    asked = [one.strip() for one in (reading.text("brief") or "", parts.body)]
    brief = "\n\n".join(one for one in asked if one)
    inputs = reading.inputs()
    reading.brief(brief, parts, inputs)
    when = reading.schedule(inputs)
    definition = Definition(
        slug=slug,
        brief=brief,
        agent=reading.text("agent"),
        schedule=when,
        integrations=reading.names("integrations"),
        tools=reading.tools(),
        destinations=reading.names("destinations") or (),
        autonomy=reading.one_of("autonomy", AUTONOMY) or "gated",  # type: ignore[arg-type]
        inputs=inputs,
    )
    return Draft(
        definition=definition,
        text=text,
        document=parts.front,
        findings=in_order(reading.found),
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """As they stand in the file."""

    def line(one: Finding) -> int:
        last = one.place.rpartition(":")[2]
        return int(last) if last.isdigit() else 0

    return tuple(sorted(findings, key=line))


def filled(brief: str, inputs: Mapping[str, str | None], values: Mapping[str, str]) -> str:
    """The brief with a value in the place of each input, once: what a value says is not read again.

    Raises:
        UsageError: a value that has no place, or an input that has none and no default.
    """
    for name in values:
        if name not in inputs:
            none = None if inputs else "It takes none."
            raise errors.UsageError(
                f"The workflow has no input {config_text.shown(name)}.",
                next=config_text.advice(name, inputs, none),
            )
    have = {name: values.get(name, default) for name, default in inputs.items()}
    if missing := [name for name, value in have.items() if value is None]:
        raise errors.UsageError(
            f"The workflow needs the input {missing[0]}.",
            next=" ".join(f"--input {name}=…" for name in missing),
        )
    return _PLACE.sub(lambda place: str(have[place[1].strip()]), brief)


class _Reading:
    """Reads key after key, and keeps what is wrong."""

    def __init__(self, document: Document):
        self.document = document
        self.tree = document.tree
        self.found: list[Finding] = list(document.findings)

    def wrong(self, path: Where, message: str, got: Any = None, *, line: int | None = None) -> None:
        place = self.document.place(path) if line is None else f"{self.document.name}:{line}"
        shown = None if got is None else config_text.shown(got)
        self.found.append(Finding(path, message, shown, place=place))

    def keys(self) -> None:
        for key in self.tree:
            if key not in KEYS:
                self.wrong((key,), f"is no key of a workflow{config_text.meant(key, KEYS)}")

    def slug(self, file: str) -> None:
        if not _SLUG.fullmatch(file) or len(file) > LONGEST_SLUG or file in BUILT_IN:
            message = f"the file must be called 1 to {LONGEST_SLUG} of a-z, 0-9 and single `-` between them"
            if file in BUILT_IN:
                message = f"{file} is a workflow that comes with alfred: call the file otherwise"
            self.wrong((), message)
        given = self.text("slug")
        if given is not None and given != file:
            self.wrong(("slug",), f"is not what the file is called, {file}", given)

    def text(self, key: str) -> str | None:
        value = self.tree.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.wrong((key,), "must be a text", value)
            return None
        return value if value is None else str(value)

    def one_of(self, key: str, known: Sequence[str]) -> str | None:
        value = self.text(key)
        if value is not None and value not in known:
            self.wrong((key,), f"cannot be this{config_text.meant(value, known)}", value)
            return None
        return value

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self.tree.get(key)
        if value is None:
            if key in self.tree:
                self.wrong((key,), "is empty: write [] for none, or take it out")
            return None
        if not isinstance(value, list) or len(value) > MOST:
            self.wrong((key,), f"must be a list of at most {MOST} names", value)
            return None
        named: list[str] = []
        for number, one in enumerate(value):
            if not isinstance(one, str) or not one.strip() or len(one) > LONGEST or one in named:
                twice = isinstance(one, str) and one in named
                message = "stands there twice" if twice else f"must be 1 to {LONGEST} characters"
                self.wrong((key, number), message, one)
            else:
                named.append(one)
        return tuple(named)

    def tools(self) -> tuple[str, ...] | None:
        named = self.names("tools")
        for one in agents_tools.read(list(named or ()))[1]:
            self.wrong(("tools", *one.path), one.message, one.got)
        return named

    def inputs(self) -> dict[str, str | None]:
        value = self.tree.get("inputs")
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > MOST:
            self.wrong(
                ("inputs",), "must be names with defaults, as in `{since: yesterday}`", value
            )
            return {}
        found: dict[str, str | None] = {}
        for name, default in value.items():
            here = ("inputs", name)
            if not _INPUT.fullmatch(name):
                self.wrong(here, "must be a name of a-z, 0-9 and `_`, a letter first")
            elif default is not None and (not isinstance(default, str) or len(default) > LONGEST):
                self.wrong(
                    here, f"its default must be a text of at most {LONGEST} characters", default
                )
            found[name] = default if isinstance(default, str) else None
        return found

    def brief(self, brief: str, parts: written.Parts, inputs: Mapping[str, Any]) -> None:
        if not brief:
            self.wrong((), "says nothing to do: write it below the front matter, or as `brief`")
        if len(brief) > LONGEST_BRIEF:
            self.wrong((), f"the brief has more than {LONGEST_BRIEF:,} characters: shorten it")
            return
        texts = [(self.document.lines.get(("brief",), 1), str(self.tree.get("brief") or ""))]
        texts.append((parts.line, parts.body))
        asked = set()
        for first, text in texts:
            for place in _PLACE.finditer(text):
                name = place[1].strip()
                asked.add(name)
                if name not in inputs:
                    meant = config_text.meant(name, inputs, ": name it below `inputs`")
                    line = first + text.count("\n", 0, place.start())
                    self.wrong((), f"there is no input for {place[0][:60]}{meant}", line=line)
        for name in inputs:
            if name not in asked:
                self.wrong(("inputs", name), f"the brief does not ask for it: {{{{{name}}}}}")

    def schedule(self, inputs: Mapping[str, str | None]) -> str | None:
        when = self.text("schedule")
        trigger = self.one_of("trigger", TRIGGERS)
        if when is None:
            if trigger == "schedule":
                self.wrong(("trigger",), "needs a `schedule`")
            return None
        if trigger == "manual":
            self.wrong(("trigger",), "is manual, and there is a `schedule`: take one of them out")
        try:
            schedule.parse(when)
        except errors.UsageError as problem:
            self.wrong(("schedule",), f"{problem.errors[0].message}. {problem.next}", when)
        for name, default in inputs.items():
            if default is None:
                self.wrong(
                    ("inputs", name), "needs a default: nobody is there to give it on a schedule"
                )
        return when


def _sorted(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
