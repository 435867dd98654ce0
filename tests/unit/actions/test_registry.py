"""Where actions come from: names that lead to one action, files that fail alone."""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import errors
from alfred.actions import action, declare, registry
from alfred.actions.registry import LoadError, Registry

GOOD = '''
from alfred.actions import action, Risk

@action("{id}", integration="mine", risk=Risk.LOW)
def do(text: str) -> str:
    """Does it."""
    return text.upper()
'''


def make(id: str) -> Any:
    @action(id, integration="test")
    def fn(x: int = 1) -> None: ...

    return fn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "actions"
    path.mkdir(mode=0o700)
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def test_an_action_is_found_by_id_and_by_wire_name() -> None:
    actions = Registry()
    actions.register([make("files.read"), make("x." + "y" * 90)])
    assert actions.get("files.read") is actions.get("files__read")
    long = actions.get("x." + "y" * 90)
    assert long is not None
    assert actions.get(long.wire) is long
    for name in ("files", "files.", "Files.Read", "files.read ", ""):
        assert actions.get(name) is None


def test_names_and_iteration_are_sorted() -> None:
    actions = Registry()
    actions.register([make("b.b"), make("a.a"), make("c.c")])
    assert actions.names() == ("a.a", "b.b", "c.c") == tuple(a.id for a in actions)
    assert len(actions) == 3


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("files.raed", "files.read"),
        ("files__reed", "files.read"),
        ("file_read", "files.read"),
        ("memory.serach", "memory.search"),
        ("qqq", None),
        ("x" * 1_000_000, None),
    ],
)
def test_the_nearest_name_is_known(wrong: str, right: str | None) -> None:
    actions = Registry()
    actions.register([make("files.read"), make("memory.search")])
    assert actions.nearest(wrong) == right


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.b", "a.b"),
        ("a.b", "a__b"),
        ("a__b.c", "a.b__c"),
    ],
)
def test_two_actions_never_share_a_name(first: str, second: str) -> None:
    actions = Registry()
    actions.register([make(first)])
    with pytest.raises(errors.ConfigError, match="is there already"):
        actions.register([make("other.x"), make(second)], source="actions/x.py")
    assert actions.names() == (first,), "nothing of the refused list got in"


def test_two_actions_of_one_list_never_share_a_name() -> None:
    with pytest.raises(errors.ConfigError, match="is there already"):
        Registry().register([make("a.b"), make("a.b")])


def test_a_home_without_actions_is_fine(tmp_path: Path) -> None:
    assert Registry().load_home(tmp_path) == ()


def test_files_of_the_home_are_loaded(tmp_path: Path, folder: Path) -> None:
    write(folder / "one.py", GOOD.format(id="mine.one"))
    write(folder / "two.py", GOOD.format(id="mine.two"))
    write(folder / ".hidden.py", "raise SystemExit")
    write(folder / "notes.txt", "not Python")
    actions = Registry()
    assert actions.load_home(tmp_path) == ()
    one = actions.get("mine.one")
    assert one is not None
    assert (one.source, one.built_in, one.fn("a")) == ("actions/one.py", False, "A")
    assert actions.names() == ("mine.one", "mine.two")


def test_a_module_may_list_its_actions_itself(tmp_path: Path, folder: Path) -> None:
    text = GOOD.format(id="mine.one") + "\nother = do\nACTIONS = []\n"
    write(folder / "one.py", text)
    actions = Registry()
    assert actions.load_home(tmp_path) == ()
    assert actions.names() == ()


def test_an_imported_action_is_not_declared_again(tmp_path: Path, folder: Path) -> None:
    sys.modules["some_library_of_actions"] = SimpleNamespace(fn=make("lib.x"))  # type: ignore[assignment]
    try:
        write(folder / "a.py", "from some_library_of_actions import fn\nagain = fn\n")
        actions = Registry()
        assert actions.load_home(tmp_path) == ()
        assert actions.names() == ()
    finally:
        del sys.modules["some_library_of_actions"]


BROKEN = {
    "syntax.py": ("x = 1\ndef (:\n", 2, "SyntaxError"),
    "raises.py": ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError"),
    "imports.py": ("\n\nimport no_such_module_at_all\n", 3, "ModuleNotFoundError"),
    "exits.py": ("import sys\nsys.exit(3)\n", 2, "ended the program"),
    "undeclared.py": ("ACTIONS = [print]\n", None, "not an action"),
    "keyed.py": (
        GOOD.format(id="mine.keyed").replace("risk=Risk.LOW", "effect='keyed'"),
        4,
        "none of Effect",
    ),
    "twice.py": (GOOD.format(id="good.one"), 4, "is there already"),
    "half.py": (GOOD.format(id="mine.half") + "\nraise ValueError('late')\n", 9, "late"),
    "bytes.py": ("x = '\\x00'\n\0", None, "null"),
}


def test_a_file_that_fails_is_named_and_the_others_load(tmp_path: Path, folder: Path) -> None:
    write(folder / "a_good.py", GOOD.format(id="good.one"))
    write(folder / "z_good.py", GOOD.format(id="good.two"))
    for name, (text, _, _) in BROKEN.items():
        write(folder / name, text)
    (folder / "folder.py").mkdir()
    (folder / "gone.py").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.py", 0o600)
    actions = Registry()
    failed = {error.source: error for error in actions.load_home(tmp_path)}
    assert actions.names() == ("good.one", "good.two")
    assert set(failed) == {f"actions/{n}" for n in [*BROKEN, "folder.py", "gone.py", "pipe.py"]}
    for name, (_, line, message) in BROKEN.items():
        error = failed[f"actions/{name}"]
        assert message in error.message
        assert line is None or error.line == line, error
    assert not [name for name in sys.modules if name.startswith("alfred_home_") and "half" in name]


def test_a_load_error_reads_like_a_place_in_a_file() -> None:
    assert str(LoadError("actions/x.py", 3, "no")) == "actions/x.py:3: no"
    assert str(LoadError("actions/x.py", None, "no")) == "actions/x.py: no"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_can_write_is_not_run(tmp_path: Path, folder: Path, mode: int) -> None:
    write(folder / "a.py", GOOD.format(id="mine.one"), mode)
    actions = Registry()
    (error,) = actions.load_home(tmp_path)
    assert "can be written by others" in error.message
    assert actions.names() == ()


def test_a_file_in_a_folder_that_others_can_write_is_not_run(tmp_path: Path, folder: Path) -> None:
    write(folder / "a.py", GOOD.format(id="mine.one"))
    folder.chmod(0o770)
    (error,) = Registry().load_home(tmp_path)
    assert "can be written by others" in error.message


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path, folder: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    write(elsewhere / "a.py", GOOD.format(id="mine.one"))
    (folder / "a.py").symlink_to(elsewhere / "a.py")
    (error,) = Registry().load_home(tmp_path)
    assert "can be written by others" in error.message


def test_a_file_of_another_user_is_not_run(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.py", GOOD.format(id="mine.one"))
    if os.geteuid() == 0:
        os.chown(folder / "a.py", 12345, 12345)
    else:  # only root can give a file away: then we are somebody else
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    (error,) = Registry().load_home(tmp_path)
    assert "belongs to another user" in error.message


def test_compiled_files_beside_it_are_never_taken_for_the_file(
    tmp_path: Path, folder: Path
) -> None:
    write(folder / "a.py", GOOD.format(id="mine.one"))
    assert Registry().load_home(tmp_path) == ()
    assert not (folder / "__pycache__").exists()


def test_two_homes_may_have_files_of_the_same_name(tmp_path: Path) -> None:
    loaded = []
    for name in ("one", "two"):
        folder = tmp_path / name / "actions"
        folder.mkdir(parents=True)
        write(folder / "a.py", GOOD.format(id=f"mine.{name}"))
        actions = Registry()
        assert actions.load_home(tmp_path / name) == ()
        loaded += [a.fn.__module__ for a in actions]
    assert len(set(loaded)) == 2


def entry(name: str, offered: Any) -> Any:
    def load() -> Any:
        if isinstance(offered, BaseException):
            raise offered
        return offered

    return SimpleNamespace(
        name=name, value=name, dist=SimpleNamespace(name="some-package"), load=load
    )


def test_packages_offer_actions_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("offered")
    fn = make("pack.module")
    fn.__module__ = "offered"
    module.fn = fn  # type: ignore[attr-defined]
    offered = [
        entry("list", [make("pack.a"), make("pack.b")]),
        entry("one", make("pack.one")),
        entry("module", module),
        entry("broken", ImportError("nothing there")),
        entry("exits", SystemExit(1)),
        entry("twice", [make("pack.c"), make("pack.a")]),
        entry("number", 3),
    ]

    def entry_points(*, group: str) -> list[Any]:
        assert group == registry.ENTRY_POINTS
        return offered

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    actions = Registry()
    failed = actions.load_entry_points()
    assert actions.names() == ("pack.a", "pack.b", "pack.module", "pack.one")
    assert {e.source for e in failed} == {
        f"some-package:{name}" for name in ("broken", "exits", "twice", "number")
    }
    found = actions.get("pack.a")
    assert found is not None
    assert found.source == "some-package:list"


def test_an_agent_has_actions_of_its_own_which_take_no_name_from_the_others() -> None:
    def make(id: str, source: str) -> Any:
        @action(id, integration="x")
        def act() -> None:
            """Acts."""

        return dataclasses.replace(declare.build(act), source=source)

    there = Registry()
    there.add(make("files.read", "alfred"))
    long = "mcp.one." + "x" * 60
    twice = [f"{long}5603", f"{long}5680"]  # told by one name: cut, with the same end of a hash
    own = {"ops": [make(id, "mcp") for id in ("mcp.one.read", "files.read", *twice)]}
    there.also(lambda tenant, agent: own.get(agent, []) if tenant == "main" else [])
    assert there.of("main", "ops").names() == ("files.read", "mcp.one.read")
    found = there.of("main", "ops").get("files.read")
    assert found is not None and found.source == "alfred"
    assert there.of("main", "other").names() == there.of("acme", "ops").names() == ("files.read",)


def test_what_only_alfred_itself_may_ask_is_found_and_never_offered() -> None:
    @action("x.own", integration="x")
    def own() -> None:
        """Is alfred's own."""

    there = Registry()
    there.register([own], offered=False)
    there.also(lambda tenant, agent: [])
    assert there.get("x.own") is not None
    assert there.names() == () and list(there) == []
