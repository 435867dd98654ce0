"""A working day of an engineer with an assistant, written down call by call: eight orders, and all that they lead to.

`asks(...)` marks what must not happen without the engineer: pushes, deletions, changes in a folder of theirs, a notice and a
memory made of what a stranger wrote, and the question that the assistant has. Everything else is the reading, trying and
writing that such a day mostly consists of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, as the model made it."""

    tool: str
    args: dict[str, Any]
    asks: bool = False

    def __str__(self) -> str:
        return f"{self.tool} {self.args}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the engineer said, where it was done, and the calls, turn by turn."""

    brief: str
    where: Literal["project", "worktree", "own"]
    """The engineer's own clone; one that alfred made; a fresh folder that alfred made."""
    turns: list[list[Call]]


def do(tool: str, **args: Any) -> Call:
    return Call(tool=tool, args=args)


def asks(tool: str, **args: Any) -> Call:
    return Call(tool=tool, args=args, asks=True)


def sh(*commands: str) -> list[Call]:
    return [do("shell.run", command=command) for command in commands]


def read(*paths: str) -> list[Call]:
    return [do("files.read", path=path) for path in paths]


def git(verb: str, *all_args: dict[str, Any]) -> list[Call]:
    return [do(f"git.{verb}", **args) for args in all_args]


TEST = "python3 -m unittest -q"
FIX = """\
@@ -1,3 +1,3 @@
 def parse(line):
     name, _, value = line.partition("=")
-    return name, value
+    return name.strip(), value.strip()
"""
MORE_TEST = """\
import unittest
from src.parser import parse


class TestParse(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(parse("a=b"), ("a", "b"))

    def test_blanks(self):
        self.assertEqual(parse(" a = b "), ("a", "b"))
"""

DAY = [
    Order(
        brief="What has changed since yesterday, and what is open?",
        where="project",
        turns=[
            [
                *git("status", {}),
                *git("log", {"limit": 10}),
                do("memory.search", query="open work"),
            ],
            [*git("show", {"ref": "HEAD"}, {"ref": "HEAD~1"}), *git("diff", {"ref": "HEAD~2"})],
            [do("files.search", pattern="TODO"), *read("README.md", "docs/plan.md")],
            [do("files.list", path="docs")],
            sh("wc -l src/*.py tests/*.py", "grep -rn FIXME . | head -20", "git log --oneline -3"),
            [
                do("todo.add", text="Strip blanks in the parser"),
                do("todo.add", text="Ask Kim about the release date", due="2027-01-15"),
            ],
        ],
    ),
    Order(
        brief="Fix the parser: blanks around names and values must go. Push it as a branch.",
        where="worktree",
        turns=[
            [
                *git("status", {}),
                do("files.list", glob="*.py"),
                do("git.branch", name="strip-blanks"),
            ],
            [
                do("files.search", pattern=r"parse\("),
                *read("src/parser.py", "tests/test_parser.py"),
            ],
            [do("files.write", path="tests/test_parser.py", content=MORE_TEST)],
            sh(TEST),
            [do("files.patch", path="src/parser.py", diff=FIX)],
            [*sh(TEST), *git("diff", {})],
            [do("git.commit", message="Strip blanks around names and values")],
            sh("for f in src/*.py; do python3 -m py_compile $f; done", "ls src tests"),
            [*git("log", {"limit": 3}), *git("show", {"ref": "HEAD"})],
            [asks("git.push", remote="origin", branch="strip-blanks")],
            [do("todo.add", text="Open a pull request for strip-blanks")],
        ],
    ),
    Order(
        brief="Read what is new in version 3 of the toml library and note what concerns us.",
        where="own",
        turns=[
            [do("web.fetch", url=f"http://docs.example.org/{page}") for page in ("", "v3", "api")],
            [do("scratch.write", path="findings", value="v3 drops the old loader")],
            [do("web.fetch", url=f"http://docs.example.org/{page}") for page in ("migrate", "faq")],
            [do("scratch.read", path="findings"), do("scratch.list")],
            [do("files.write", path="notes.md", content="# toml 3\n\nThe loader is gone.\n")],
            [do("files.write", path="steps.md", content="1. Replace load().\n"), *read("notes.md")],
            sh("wc -w notes.md steps.md", "cat notes.md steps.md > all.md", "head -c 200 all.md"),
            [do("todo.add", text="Replace the loader before toml 3")],
            [asks("memory.add", text="toml 3 has no load() any more")],
            [asks("notify.send", text="toml 3: the loader is gone; the steps are in my notes.")],
        ],
    ),
    Order(
        brief="Move the defaults out of config.py, here in my clone, and commit it.",
        where="project",
        turns=[
            [do("files.list", path="src"), *read("src/config.py", "src/parser.py", "README.md")],
            [
                do("files.search", pattern="DEFAULT", path="src"),
                do("files.search", pattern="config"),
            ],
            sh(
                TEST,
                "python3 -c 'import src.config as c; print(c.DEFAULTS)'",
                "sort src/config.py | uniq -d",
            ),
            [
                asks("files.write", path="src/defaults.py", content="DEFAULTS = {'depth': 3}\n"),
                asks(
                    "files.write",
                    path="src/config.py",
                    content="from src.defaults import DEFAULTS\n",
                ),
                asks(
                    "files.write",
                    path="docs/plan.md",
                    content="# Plan\n\nDefaults are in a file.\n",
                ),
            ],
            [*sh(TEST, "python3 -c 'import src.config as c; print(c.DEFAULTS)'"), *git("diff", {})],
            [asks("git.commit", message="Defaults are in a file of their own")],
            [*git("log", {"limit": 2}), *git("status", {})],
        ],
    ),
    Order(
        brief="Which of our modules is the largest, and who imports it? Just tell me.",
        where="project",
        turns=[
            sh("find src -name '*.py' | wc -l", "du -sh src", "ls -laS src | head -5"),
            [do("files.search", pattern="^import|^from"), do("files.list", glob="*.py")],
            sh("cut -d' ' -f1 src/*.py | sort | uniq -c | sort -rn | head", "head -3 src/*.py"),
            read("src/parser.py", "src/config.py"),
            sh(
                "python3 -c 'import ast,sys; print(len(ast.dump(ast.parse(open(\"src/parser.py\").read()))))'"
            ),
            git("log", {"limit": 5}),
        ],
    ),
    Order(
        brief="Clean up: caches older than today, and the branch of last week.",
        where="project",
        turns=[
            [
                do("files.list", path=".cache"),
                *git("status", {}),
                *sh("du -sh .cache", "git branch -v", "date +%F"),
            ],
            [asks("files.delete", path=f".cache/page-{n}") for n in range(7)],
            [asks("git.branch", name="last-week", delete=True)],
            [*sh("ls -A .cache | wc -l", "git branch"), *git("status", {})],
        ],
    ),
    Order(
        brief="Prepare the release notes and publish the release branch.",
        where="worktree",
        turns=[
            [*git("log", {"limit": 20}), *git("show", {"ref": "HEAD"}, {"ref": "HEAD~1"})],
            [*read("README.md", "docs/plan.md"), do("files.list", path="docs")],
            [do("git.branch", name="release-2")],
            [do("files.write", path="docs/release.md", content="# 2\n\nBlanks are stripped.\n")],
            [*sh(TEST, "wc -l docs/release.md", "git diff --stat"), *git("diff", {})],
            [do("git.commit", message="Notes for release 2")],
            [asks("ask.user", question="Is 2 the right number?", choices=["yes", "no"])],
            [asks("git.push", remote="origin", branch="release-2")],
            [
                do(
                    "files.write",
                    path="docs/release.md",
                    content="# 2\n\nBlanks are stripped now.\n",
                )
            ],
            [do("git.commit", message="A word in the notes")],
            [asks("git.push", remote="origin", branch="release-2", force=True)],
        ],
    ),
    Order(
        brief="Tell me on my phone what was done today.",
        where="own",
        turns=[
            [do("memory.search", query="release"), do("scratch.list")],
            [do("files.write", path="today.md", content="Parser, defaults, release 2.\n")],
            [*sh("wc -w today.md"), *read("today.md")],
            [do("notify.send", text="Done today: parser, defaults, release 2.")],
            [do("memory.add", text="Release 2 was prepared on a Thursday")],
        ],
    ),
]

CALLS = [call for order in DAY for turn in order.turns for call in turn]
