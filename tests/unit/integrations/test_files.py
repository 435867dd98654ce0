"""Actions on files: pages, honest answers, what they risk, and what a probe can tell afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, Unknown, declare, results
from alfred.engines import process
from alfred.integrations import contents, edits, excerpt, files, git, grep, moves, notify, shell
from alfred.trust import sandbox
from alfred.trust.redact import redact
from tests.built import built
from tests.table import table

FAKE_KEY = "AKIA" + "Q3EGRIVZ5WXY7ABC"


def root(bench: Any) -> Path:
    return bench.ctx.workspace.root


# ---- reading


def test_a_small_file_is_read_in_one_page(bench: Any) -> None:
    (root(bench) / "a.txt").write_text("héllo\nworld\n")
    assert bench.call(files.read, path="a.txt") == {
        "path": "a.txt",
        "size": 13,
        "type": "text",
        "offset": 0,
        "content": "héllo\nworld\n",
        "next_offset": None,
    }


def test_a_secret_that_is_read_in_slices_is_read_in_none_of_them(bench: Any) -> None:
    whole = f"héllo\nkey: {FAKE_KEY}\n" + "x" * 9_000 + f" {FAKE_KEY} end"
    (root(bench) / "a.txt").write_text(whole)
    said, at = "", 0
    while at is not None:
        small = at < 100 or at > 8_950  # where the keys are
        page = bench.call(files.read, path="a.txt", offset=at, limit=7 if small else 400)
        assert not [
            FAKE_KEY[n : n + 5] for n in range(16) if FAKE_KEY[n : n + 5] in page["content"]
        ]
        said, at = said + page["content"], page["next_offset"]
    assert said.startswith("héllo\nkey: [redacted:aws-key-id:")
    assert said.endswith(" end")
    assert said.count("x") == 9_000


def test_a_secret_that_a_search_cuts_is_told_in_no_part(bench: Any) -> None:
    (root(bench) / "a.txt").write_text("x" * 500 + f" {FAKE_KEY} " + "y" * 900)
    for at in (560, 605, 610, 618, 630):  # a window begins a third of it before the hit
        [match] = bench.call(files.search, pattern=f"(?<=^.{{{at}}}).")["matches"]
        assert not [n for n in range(16) if FAKE_KEY[n : n + 5] in match["text"]]
        assert match.keys() == {"path", "line", "offset", "text"}


def test_an_empty_file_is_an_empty_page(bench: Any) -> None:
    (root(bench) / "a.txt").touch()
    page = bench.call(files.read, path="a.txt")
    assert (page["content"], page["next_offset"], page["size"]) == ("", None, 0)


def test_a_page_behind_the_end_is_empty(bench: Any) -> None:
    (root(bench) / "a.txt").write_text("abc")
    page = bench.call(files.read, path="a.txt", offset=99)
    assert (page["content"], page["next_offset"]) == ("", None)


def test_fifty_megabytes_are_read_page_by_page_and_never_whole(bench: Any) -> None:
    path = root(bench) / "big.log"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"0123456789abcde\n" * 62_500)
    page = bench.call(files.read, path="big.log")
    assert page["size"] == 50_000_000
    assert 0 < len(page["content"]) <= excerpt.ROOM
    assert page["next_offset"] == len(page["content"])
    last = bench.call(files.read, path="big.log", offset=49_999_984)
    assert last["content"] == "0123456789abcde\n"
    assert last["next_offset"] is None


@pytest.mark.parametrize("text", ["\n" * 60_000, '"\\' * 30_000, "\x01" * 40_000, "ä" * 40_000])
def test_a_page_fits_into_what_the_model_reads_uncut(bench: Any, text: str) -> None:
    (root(bench) / "a.txt").write_bytes(text.encode())
    page = bench.call(files.read, path="a.txt")
    assert len(json.dumps(page, ensure_ascii=False)) < results.RESULT_LIMIT
    assert page["content"]


def pages(bench: Any, path: str, limit: int | None) -> str:
    whole, offset, turns = "", 0, 0
    while True:
        page = bench.call(files.read, path=path, offset=offset, limit=limit)
        whole += page["content"]
        turns += 1
        assert turns < 2000
        if page["next_offset"] is None:
            return whole
        assert page["next_offset"] > offset
        offset = page["next_offset"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(alphabet="aé€😀\n\x01", max_size=120), st.integers(1, 9))
@example("😀" * 20, 1)
@example("aé€😀" * 10, 5)
def test_the_pages_of_a_text_are_the_text(bench: Any, text: str, limit: int) -> None:
    (root(bench) / "a.txt").write_text(text, newline="")
    assert pages(bench, "a.txt", limit) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.binary(max_size=60).filter(
        lambda b: b"\0" not in b and b[:2] not in (b"\xff\xfe", b"\xfe\xff")
    ),
    st.integers(4, 9),
)
def test_pages_of_any_bytes_lose_no_readable_character(bench: Any, raw: bytes, limit: int) -> None:
    (root(bench) / "a.txt").write_bytes(raw)
    read = pages(bench, "a.txt", limit)
    assert read.replace("\ufffd", "") == raw.decode("utf-8", "replace").replace("\ufffd", "")


def test_bytes_that_are_no_utf8_are_shown_as_such(bench: Any) -> None:
    (root(bench) / "a.txt").write_bytes(b"caf\xe9 au lait\n")
    page = bench.call(files.read, path="a.txt")
    assert page["content"] == "caf\ufffd au lait\n"
    assert "no UTF-8" in page["note"]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary"),
        (b"PK\x03\x04\x00\x00", "binary"),
        ("hällo".encode("utf-16"), "text in UTF-16"),
    ],
)
def test_of_what_is_no_text_type_and_size_are_told(bench: Any, raw: bytes, kind: str) -> None:
    (root(bench) / "a.png").write_bytes(raw)
    page = bench.call(files.read, path="a.png")
    assert page == {
        "path": "a.png",
        "size": len(raw),
        "type": kind,
        "media_type": "image/png",
        "content": None,
        "next_offset": None,
    }


def test_a_missing_file_a_folder_and_a_closed_one_say_so(bench: Any) -> None:
    (root(bench) / "folder").mkdir()
    for path, says in [("nothing.txt", "There is no"), ("folder", "is a folder")]:
        with pytest.raises(errors.CallFailed, match=says):
            bench.call(files.read, path=path)


# ---- where reading leads


HOSTILE = [
    "../outside",
    "a/../../outside",
    "/etc/passwd",
    "/proc/self/environ",
    "/proc/1/mem",
    "out",
    "out/secret",
    "absolute",
    "chain",
    "deep/out/secret",
    "dev",
    "a\0b",
    "",
    "..",
    "inputs/../../outside/secret",
    "inputs/nothing",
    "~/.ssh/id_rsa",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_leads_out_of_the_workspace(bench: Any, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("canary")
    at = root(bench)
    (at / "out").symlink_to(os.path.relpath(outside, at))
    (at / "absolute").symlink_to(outside / "secret")
    (at / "chain").symlink_to("out/secret")
    (at / "deep").mkdir()
    (at / "deep" / "out").symlink_to(outside)
    (at / "dev").symlink_to("/dev/zero")
    before = sorted(outside.iterdir())
    for function, more in [
        (files.read, {}),
        (files.write, {"content": "x"}),
        (files.patch_, {"diff": "@@ -1 +1 @@\n-canary\n+x\n"}),
        (files.move, {"to": "stolen"}),
        (files.search, {"pattern": "canary"}),
    ]:
        try:
            done = bench.call(function, path=path, **more)
        except (errors.PathRefused, errors.CallFailed, errors.CallRefused):
            continue
        assert "canary" not in json.dumps(done).replace('"canary"', "")
        assert done.get("path", "").startswith(
            ("~", "inputs/", "stolen", "out", "abs", "chain", "dev")
        )
    assert sorted(outside.iterdir()) == before
    assert (outside / "secret").read_text() == "canary"


@pytest.mark.parametrize("name", ["environ", "mem", "maps", "cmdline"])
def test_files_of_the_kernel_are_out_of_reach(new_bench: Any, name: str) -> None:
    bench = new_bench(made=False, root=Path("/"))
    with pytest.raises((errors.PathRefused, errors.CallFailed)):
        bench.call(files.read, path=f"proc/self/{name}")


def test_the_inputs_of_a_run_are_read_by_both_of_their_names(
    new_bench: Any, tmp_path: Path
) -> None:
    file = tmp_path / "report.csv"
    file.write_text("a,b\n")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "one.md").write_text("# One\n")
    bench = new_bench(inputs={"report.csv": file, "docs": folder})
    for path in ("inputs/report.csv", "./inputs//report.csv", str(file)):
        assert bench.call(files.read, path=path)["content"] == "a,b\n"
    assert bench.call(files.read, path="inputs/docs/one.md")["content"] == "# One\n"
    assert bench.call(files.read, path=str(folder / "one.md"))["content"] == "# One\n"
    assert bench.call(files.search, pattern="One", path="inputs/docs")["matches"]
    listed = bench.call(files.list_, path="inputs")["entries"]
    assert [(e["path"], e["kind"]) for e in listed] == [("docs", "folder"), ("report.csv", "file")]
    assert [e["path"] for e in bench.call(files.list_, path="inputs/docs")["entries"]] == ["one.md"]


def test_beside_an_input_nothing_is_read(new_bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("a")
    (tmp_path / "b.txt").write_text("b")
    bench = new_bench(inputs={"a.txt": file})
    for path in (str(tmp_path / "b.txt"), "inputs/b.txt", "inputs/a.txt/../b.txt", str(tmp_path)):
        with pytest.raises((errors.PathRefused, errors.CallFailed)):
            bench.call(files.read, path=path)


@pytest.mark.parametrize("way", ["name", "absolute", "in the workspace"])
def test_an_input_is_never_changed(new_bench: Any, tmp_path: Path, way: str) -> None:
    at = tmp_path / "project"
    at.mkdir()
    file = at / "data" / "a.txt" if way == "in the workspace" else tmp_path / "a.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("a\n")
    bench = new_bench(made=False, root=at, inputs={"a.txt": file})
    path = {"name": "inputs/a.txt", "absolute": str(file), "in the workspace": "data/a.txt"}[way]
    (at / "mine").write_text("m")
    for function, args in [
        (files.write, {"path": path, "content": "x"}),
        (files.patch_, {"path": path, "diff": "@@ -1 +1 @@\n-a\n+x\n"}),
        (files.move, {"path": path, "to": "b"}),
        (files.move, {"path": "mine", "to": path}),
        (files.delete, {"path": path}),
    ]:
        with pytest.raises(errors.PathRefused, match="input"):
            bench.call(function, **args)
    if way == "in the workspace":
        with pytest.raises(errors.PathRefused, match="input"):
            bench.call(files.move, path="data", to="elsewhere")
    assert file.read_text() == "a\n"


def test_an_input_is_known_by_what_it_is_and_not_by_its_name_alone(
    new_bench: Any, tmp_path: Path
) -> None:
    """As on a file system without upper case; and another name of the same file (a hard link) is the input too."""
    at = tmp_path / "project"
    (at / "data").mkdir(parents=True)
    given = at / "data" / "a.txt"
    given.write_text("a\n")
    os.link(given, at / "name")
    (at / "mine").write_text("m")
    (at / "link").symlink_to("data/a.txt")
    bench = new_bench(made=False, root=at, inputs={"a.txt": given})
    for function, args in [
        (files.write, {"path": "name", "content": "x"}),
        (files.patch_, {"path": "name", "diff": "@@ -1 +1 @@\n-a\n+x\n"}),
        (files.move, {"path": "name", "to": "b"}),
        (files.delete, {"path": "name"}),
    ]:
        with pytest.raises(errors.PathRefused, match="input"):
            bench.call(function, **args)
    assert (at / "name").read_text() == "a\n"
    bench.call(files.delete, path="link")  # a link is no input: it is deleted itself
    bench.call(files.write, path="data/b.txt", content="x")
    assert given.read_text() == "a\n"


def test_nothing_is_put_in_the_place_of_an_input_that_is_gone(
    new_bench: Any, tmp_path: Path
) -> None:
    at = tmp_path / "project"
    at.mkdir()
    bench = new_bench(made=False, root=at, inputs={"a.txt": at / "data" / "a.txt"})
    for path in ("data/a.txt", "data"):
        with pytest.raises(errors.PathRefused, match="input"):
            bench.call(files.write, path=path, content="x")
    assert list(at.iterdir()) == []


def test_a_folder_that_leads_to_an_input_is_known_by_what_it_is(
    new_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "project"
    (at / "data").mkdir(parents=True)
    (at / "data" / "a.txt").write_text("a\n")
    bench = new_bench(made=False, root=at, inputs={"a.txt": at / "data" / "a.txt"})
    looked = os.lstat

    def without_case(path: Any, **more: Any) -> os.stat_result:
        return looked(str(path).replace("DATA", "data"), **more)

    monkeypatch.setattr(os, "lstat", without_case)
    with pytest.raises(errors.PathRefused, match="input"):
        bench.call(files.move, path="DATA", to="elsewhere")


def test_alfreds_home_is_out_of_reach_of_a_workspace_around_it(
    new_bench: Any, tmp_path: Path, home: Path
) -> None:
    home.mkdir()
    (home / ".env").write_text("TOKEN=canary")
    bench = new_bench(made=False, root=tmp_path)
    (tmp_path / "link").symlink_to("home/.env")
    (tmp_path / "folder").symlink_to("home")
    for path in ("home/.env", "home", "link", "folder/.env", "folder", str(home / ".env")):
        for function, more in [
            (files.read, {}),
            (files.list_, {}),
            (files.search, {"pattern": "canary"}),
            (files.write, {"content": "x"}),
            (files.delete, {}),
            (files.move, {"to": "stolen"}),
        ]:
            if path == "link" and function in (files.write, files.delete, files.move):
                continue  # those act on the link itself, or refuse it
            with pytest.raises((errors.PathRefused, errors.CallFailed)):
                bench.call(function, path=path, **more)
    assert "canary" not in json.dumps(bench.call(files.search, pattern="canary"))
    assert "home" not in [e["path"] for e in bench.call(files.list_)["entries"]]
    assert not [e for e in bench.call(files.list_, glob=".env")["entries"] if "home" in e["path"]]
    assert (home / ".env").read_text() == "TOKEN=canary"


@pytest.mark.parametrize("inside", ["", "state", "agents/main", "logs", "tenants/other"])
def test_no_work_is_done_in_alfreds_home(new_bench: Any, home: Path, inside: str) -> None:
    bench = new_bench(made=False, root=home / inside)
    (root(bench) / "a").write_text("x")
    with pytest.raises(errors.PathRefused, match="own home"):
        bench.call(files.read, path="a")
    with pytest.raises(errors.PathRefused, match="own home"):
        bench.call(files.write, path="b", content="x")


# ---- listing and searching


def test_a_listing_tells_names_kinds_and_sizes(bench: Any) -> None:
    at = root(bench)
    (at / "b").mkdir()
    (at / "a.txt").write_text("abc")
    (at / "c").symlink_to("a.txt")
    assert bench.call(files.list_) == {
        "path": ".",
        "entries": [
            {"path": "a.txt", "kind": "file", "size": 3},
            {"path": "b", "kind": "folder"},
            {"path": "c", "kind": "link"},
        ],
        "left_out": 0,
    }


@pytest.mark.parametrize(
    ("glob", "fits"),
    [
        ("*.py", ["a.py", "src/b.py", "src/deep/c.py"]),
        ("src/*.py", ["src/b.py"]),
        ("src/**/*.py", ["src/b.py", "src/deep/c.py"]),
        ("**/c.*", ["src/deep/c.py"]),
        ("./a.??", ["a.py"]),
        ("[ab].py", ["a.py", "src/b.py"]),
        ("**", ["a.py", "src", "src/b.py", "src/deep", "src/deep/c.py", "x.md"]),
        ("src/**", ["src", "src/b.py", "src/deep", "src/deep/c.py"]),
        ("nothing", []),
        ("a.p", []),
    ],
)
def test_a_glob_finds_what_it_says(bench: Any, glob: str, fits: list[str]) -> None:
    at = root(bench)
    (at / "src" / "deep").mkdir(parents=True)
    (at / ".git").mkdir()
    for name in ("a.py", "src/b.py", "src/deep/c.py", "x.md", ".git/d.py"):
        (at / name).write_text("x")
    assert sorted(e["path"] for e in bench.call(files.list_, glob=glob)["entries"]) == fits


def test_no_glob_takes_long(bench: Any) -> None:
    at = root(bench)
    (at / ("a" * 200)).write_text("x")
    deep = at
    for _ in range(30):
        deep = deep / "a"
        deep.mkdir()
    for glob in ("*a" * 100 + "b", "**/" * 60 + "b", "/".join(["**", "a"] * 40) + "/b"):
        assert bench.call(files.list_, glob=glob)["entries"] == []


def test_a_long_listing_is_cut_and_says_how_much(bench: Any) -> None:
    for n in range(700):
        (root(bench) / f"{n:04d}.txt").touch()
    for args in ({}, {"glob": "*.txt"}):
        listed = bench.call(files.list_, **args)
        assert len(listed["entries"]) + listed["left_out"] == 700
        assert listed["left_out"] > 0
        assert len(json.dumps(listed)) < results.RESULT_LIMIT


def test_a_search_tells_the_line_and_where_to_read_on(bench: Any) -> None:
    (root(bench) / "a.txt").write_text("one\ntwo needle\nthree\n")
    found = bench.call(files.search, pattern="need.e")
    assert found["matches"] == [{"path": "a.txt", "line": 2, "offset": 4, "text": "two needle"}]
    page = bench.call(files.read, path="a.txt", offset=found["matches"][0]["offset"])
    assert page["content"].startswith("two needle")


def test_a_search_passes_over_what_is_no_text_and_counts_it(bench: Any) -> None:
    at = root(bench)
    (at / ".git").mkdir()
    (at / ".git" / "x").write_text("needle")
    (at / "b.bin").write_bytes(b"needle\0")
    (at / "link").symlink_to("a.txt")
    (at / "a.txt").write_bytes(b"needle \xff\n")
    found = bench.call(files.search, pattern="needle")
    assert [m["path"] for m in found["matches"]] == ["a.txt"]
    assert found["skipped"] == {"binary": 1}
    assert found["files_searched"] == 2


def test_a_pattern_that_never_ends_is_ended(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEARCH_S", 0.2)
    given: list[float] = []
    real = process.run
    monkeypatch.setattr(process, "run", lambda *a, **k: given.append(k["timeout"]) or real(*a, **k))
    (root(bench) / "a.txt").write_text("a" * 64 + "!")
    with pytest.raises(errors.CallFailed, match="did not end within"):
        bench.call(files.search, pattern="(a+)+$")
    assert given == [0.2]


def test_a_search_ends_also_when_nobody_is_left_to_end_it(tmp_path: Path) -> None:
    says = "import resource as r; print(r.getrlimit(r.RLIMIT_CPU))"
    request = {"root": str(tmp_path), "path": ".", "pattern": "x", "closed": []}
    done = subprocess.run(
        [sys.executable, "-c", f"from alfred.integrations import grep; grep.main(); {says}"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().endswith(f"{(grep.PROCESSOR_S,) * 2}\n")
    assert grep.PROCESSOR_S > files.SEARCH_S


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?P<1>x)", "a{99999999999}"])
def test_a_pattern_that_is_none_says_why(bench: Any, pattern: str) -> None:
    (root(bench) / "a.txt").write_text("x")
    with pytest.raises(errors.CallFailed, match="no regular expression"):
        bench.call(files.search, pattern=pattern)


def test_many_matches_are_cut_and_said(bench: Any) -> None:
    (root(bench) / "a.txt").write_text(("needle " + "x" * 500 + "\n") * 500)
    found = bench.call(files.search, pattern="needle")
    assert found["more"]
    assert 0 < len(found["matches"]) <= grep.MATCHES
    assert len(json.dumps(found)) < results.RESULT_LIMIT


# ---- writing


def test_a_file_is_written_with_its_folders(bench: Any) -> None:
    done = bench.call(files.write, path="a/b/c.txt", content="hé\n")
    assert (root(bench) / "a/b/c.txt").read_text() == "hé\n"
    assert done == {
        "path": "a/b/c.txt",
        "size": 4,
        "sha256": hashlib.sha256("hé\n".encode()).hexdigest(),
    }


def test_a_file_is_replaced_and_keeps_its_permissions(bench: Any) -> None:
    path = root(bench) / "run.sh"
    path.write_text("old")
    path.chmod(0o750)
    bench.call(files.write, path="run.sh", content="new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o750


def test_nobody_is_asked_about_a_change_behind_a_link(bench: Any) -> None:
    at = root(bench)
    (at / ".github").mkdir()
    (at / ".github" / "x.yml").write_text("old")
    (at / "gh").symlink_to(".github")
    (at / "link").symlink_to(".github/x.yml")
    diff = "@@ -1 +1 @@\n-old\n+new\n"
    for function, said in (
        (files.write, {"path": "link", "content": "new"}),
        (files.write, {"path": "gh/x.yml", "content": "new"}),
        (files.write, {"path": "gh/new/x.yml", "content": "new"}),
        (files.patch_, {"path": "link", "diff": diff}),
        (files.patch_, {"path": "gh/x.yml", "diff": diff}),
        (files.move, {"path": "gh/x.yml", "to": "a"}),
        (files.move, {"path": "link", "to": "gh/a"}),
        (files.delete, {"path": "gh/x.yml"}),
    ):
        target = built(function).target
        assert target is not None
        with pytest.raises(errors.PathRefused, match="symlink"):
            target(bench.args(function, said), bench.ctx)
    for function, said in (
        (files.delete, {"path": "link"}),
        (files.move, {"path": "gh", "to": "b"}),
        (files.write, {"path": "new/folder/a", "content": "new"}),
    ):
        target = built(function).target
        assert target is not None
        target(bench.args(function, said), bench.ctx)


def test_a_link_is_not_written_through(bench: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("old")
    (root(bench) / "link").symlink_to(outside)
    with pytest.raises(errors.PathRefused):
        bench.call(files.write, path="link", content="new")
    assert outside.read_text() == "old"


def test_a_hidden_secret_is_not_replaced_by_its_mark(bench: Any) -> None:
    path = root(bench) / "config.ini"
    path.write_text(f"aws = {FAKE_KEY}\nname = x\n")
    shown = redact(path.read_text())
    assert shown != path.read_text()
    with pytest.raises(errors.CallFailed, match="stands for a secret"):
        bench.call(files.write, path="config.ini", content=shown.replace("x", "y"))
    mark = shown.split("= ")[1].split("\n")[0]
    with pytest.raises(errors.CallFailed, match="stands for a secret"):
        bench.call(
            files.patch_, path="config.ini", diff=f"@@ -2 +2 @@\n-name = x\n+name = {mark}\n"
        )
    bench.call(files.patch_, path="config.ini", diff="@@ -2 +2 @@\n-name = x\n+name = y\n")
    assert path.read_text() == f"aws = {FAKE_KEY}\nname = y\n"


def test_a_patch_leaves_bytes_that_are_no_utf8_alone(bench: Any) -> None:
    path = root(bench) / "a.txt"
    path.write_bytes(b"caf\xe9\ntwo\n")
    bench.call(files.patch_, path="a.txt", diff="@@ -2 +2 @@\n-two\n+2\n")
    assert path.read_bytes() == b"caf\xe9\n2\n"


def test_a_patch_can_make_a_file_but_not_over_another(bench: Any) -> None:
    diff = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+new\n"
    bench.call(files.patch_, path="sub/x", diff=diff)
    assert (root(bench) / "sub/x").read_text() == "new\n"
    with pytest.raises(errors.CallFailed, match="there already"):
        bench.call(files.patch_, path="sub/x", diff=diff)


def test_a_patch_that_does_not_fit_changes_nothing(bench: Any) -> None:
    path = root(bench) / "a.txt"
    path.write_text("one\ntwo\n")
    with pytest.raises(errors.CallFailed, match="Hunk 2"):
        bench.call(
            files.patch_, path="a.txt", diff="@@ -1 +1 @@\n-one\n+1\n@@ -2 +2 @@\n-zwei\n+2\n"
        )
    assert path.read_text() == "one\ntwo\n"


def test_what_is_no_text_or_not_there_is_not_patched(bench: Any) -> None:
    (root(bench) / "a.bin").write_bytes(b"\0one\n")
    for path, says in [("a.bin", "is no text"), ("none", "There is no")]:
        with pytest.raises(errors.CallFailed, match=says):
            bench.call(files.patch_, path=path, diff="@@ -1 +1 @@\n-one\n+1\n")


def test_a_move_never_replaces(bench: Any) -> None:
    at = root(bench)
    (at / "a").write_text("a")
    (at / "b").write_text("b")
    with pytest.raises(errors.CallFailed, match="there already"):
        bench.call(files.move, path="a", to="b")
    bench.call(files.move, path="a", to="new/folder/c")
    assert (at / "new/folder/c").read_text() == "a"
    with pytest.raises(errors.CallFailed, match="There is no"):
        bench.call(files.move, path="a", to="d")


def test_a_file_is_deleted_and_a_folder_is_not(bench: Any) -> None:
    at = root(bench)
    (at / "folder").mkdir()
    (at / "folder" / "a").write_text("a")
    bench.call(files.delete, path="folder/a")
    assert not (at / "folder" / "a").exists()
    with pytest.raises(errors.CallFailed, match="is a folder"):
        bench.call(files.delete, path="folder")
    (at / "link").symlink_to("folder")
    bench.call(files.delete, path="link")
    assert (at / "folder").is_dir()


# ---- what it risks

SENSITIVE = [
    ".git/config",
    ".git",
    "sub/.git/hooks/pre-commit",
    ".GIT/config",
    ".g\u200cit/config",
    ".git./config",
    "\uff0egit/config",
    ".gitmodules",
    ".gitattributes",
    ".github/workflows/ci.yml",
    ".github/CODEOWNERS",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "Jenkinsfile",
    "azure-pipelines.yml",
    ".env",
    ".env.production",
    "app/.env",
    ".envrc",
    ".claude/settings.json",
    ".codex/config.toml",
    "AGENTS.md",
    "agents.md",
    "sub/AGENTS.md",
    "CLAUDE.md",
    ".mcp.json",
    ".cursor/rules/x.mdc",
    ".cursorrules",
    ".vscode/tasks.json",
    ".pre-commit-config.yaml",
    ".husky/pre-commit",
    "./.git/config",
    ".//.git//config",
]
ORDINARY = ["a.txt", "src/main.py", "docs/git.md", "github/workflows.md", "env", "x.env.py", "git"]


@table(SENSITIVE)
def test_what_configures_git_ci_or_agents_is_one_tier_higher(
    bench: Any, brought: Any, path: str
) -> None:
    for function, args in [
        (files.write, {"path": path, "content": "x"}),
        (files.patch_, {"path": path, "diff": "x"}),
        (files.move, {"path": "a", "to": path}),
        (files.move, {"path": path, "to": "a"}),
    ]:
        assert bench.risk(function, **args) is Risk.LOW
        assert brought.risk(function, **args) is Risk.HIGH
    assert bench.risk(files.delete, path=path) is Risk.HIGH


@table(ORDINARY)
def test_other_files_are_free_in_a_made_workspace_and_medium_in_a_brought_one(
    bench: Any, brought: Any, path: str
) -> None:
    for function, args in [
        (files.write, {"path": path, "content": "x"}),
        (files.patch_, {"path": path, "diff": "x"}),
        (files.move, {"path": path, "to": "b"}),
    ]:
        assert bench.risk(function, **args) is Risk.NONE
        assert brought.risk(function, **args) is Risk.MEDIUM
    assert bench.risk(files.delete, path=path) is Risk.MEDIUM


@pytest.mark.parametrize(
    "folder", [".git", ".git/hooks", ".github", ".github/workflows", ".claude", ".ssh", "link"]
)
def test_in_a_workspace_that_lies_in_what_steers_programs_every_path_is_delicate(
    new_bench: Any, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "project" / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "project" / "link").symlink_to(".git/hooks")
    here = new_bench(made=False, root=tmp_path / "project" / folder)
    for function, args in [
        (files.write, {"path": "hooks/pre-commit", "content": "x"}),
        (files.patch_, {"path": "ci.yml", "diff": "x"}),
        (files.move, {"path": "a", "to": "b"}),
        (files.delete, {"path": "tmp/x"}),
    ]:
        assert here.risk(function, **args) is Risk.HIGH
    if sandbox.available().kind:
        assert here.risk(shell.run, command="ls", write=True) is Risk.HIGH
        assert here.risk(shell.run, command="ls") is Risk.NONE


@table(
    [
        ("tmp/x", Risk.LOW),
        ("cache/x", Risk.LOW),
        ("src/__pycache__/x.pyc", Risk.LOW),
        (".pytest_cache/a/b", Risk.LOW),
        ("src/cache/x.py", Risk.MEDIUM),
        ("tmp", Risk.MEDIUM),
        ("tmp/../src/x", Risk.MEDIUM),
        ("tmp/.git/config", Risk.HIGH),
        ("tmpx/x", Risk.MEDIUM),
    ]
)
def test_deleting_is_low_only_among_temporary_files(brought: Any, path: str, risk: Risk) -> None:
    assert brought.risk(files.delete, path=path) is risk


@pytest.mark.parametrize("function", [files.read, files.list_, files.search])
def test_looking_risks_nothing(brought: Any, function: Any) -> None:
    given = {"pattern": "x"} if function is files.search else {"path": ".env"}
    assert brought.risk(function, **given) is Risk.NONE


# ---- cards


def test_a_card_shows_the_change_as_a_diff(brought: Any) -> None:
    (root(brought) / "a.txt").write_text("one\ntwo\n")
    shown = brought.preview(files.write, path="a.txt", content="one\n2\n")
    assert shown.splitlines()[:2] == ["--- a/a.txt", "+++ b/a.txt"]
    assert "-two" in shown
    assert "+2" in shown
    patched = brought.preview(files.patch_, path="a.txt", diff="@@ -9 +9 @@\n-two\n+2\n")
    assert patched == shown
    assert "--- /dev/null" in brought.preview(files.write, path="new.txt", content="x\n")


def test_a_card_of_content_that_cannot_be_written_says_so(
    brought: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "LARGEST", 10)
    (root(brought) / "a.txt").write_text("larger than that")
    shown = brought.preview(files.write, path="a.txt", content=f"key {FAKE_KEY}")
    assert shown.startswith("This content cannot be written: 'a.txt' is larger than 10 bytes")
    assert FAKE_KEY not in shown


def test_a_card_of_a_diff_that_does_not_fit_says_so(brought: Any) -> None:
    (root(brought) / "a.txt").write_text("one\n")
    shown = brought.preview(files.patch_, path="a.txt", diff="@@ -1 +1 @@\n-zwei\n+2\n")
    assert shown.startswith("This diff cannot be applied")


def test_a_card_hides_secrets(brought: Any) -> None:
    (root(brought) / "a.txt").write_text(f"key = {FAKE_KEY}\n")
    for shown in (
        brought.preview(files.write, path="a.txt", content=f"x\nkey = {FAKE_KEY}\n"),
        brought.preview(files.patch_, path="a.txt", diff=f"@@ -1 +1 @@\n-key = {FAKE_KEY}\n+x\n"),
        brought.preview(files.delete, path="a.txt"),
    ):
        assert FAKE_KEY not in shown
        assert "[redacted:" in shown


@pytest.mark.parametrize(
    "function", [files.write, files.patch_, shell.run, git.commit, notify.send]
)
def test_what_lists_show_of_the_arguments_has_no_secrets(function: Any) -> None:
    hide = declare.build(function).redact
    assert hide
    shown = hide({"path": "a.txt", "text": f"key = {FAKE_KEY}\n"})
    assert shown["path"] == "a.txt"
    assert FAKE_KEY not in str(shown)


def test_a_card_of_bytes_or_of_much_text_shows_sizes_and_hashes(brought: Any) -> None:
    (root(brought) / "a.bin").write_bytes(b"\0\1")
    shown = brought.preview(files.write, path="a.bin", content="x" * 500_000)
    assert f"2 bytes, sha256 {hashlib.sha256(bytes([0, 1])).hexdigest()}" in shown
    assert "500000 bytes" in shown


def test_cards_of_moving_and_deleting_say_what_is_there(brought: Any) -> None:
    (root(brought) / "a.txt").write_text("one\n")
    (root(brought) / "b.txt").write_text("two\n")
    moved = brought.preview(files.move, path="a.txt", to="b.txt")
    assert moved.splitlines()[0] == "move a.txt"
    assert "refused" in moved
    gone = brought.preview(files.delete, path="a.txt")
    assert gone.splitlines()[0] == "delete a.txt"
    assert "-one" in gone


# ---- bound to content, and found out afterwards


def test_the_target_is_what_is_there_now(bench: Any) -> None:
    path = root(bench) / "a.txt"
    before = bench.target(files.write, path="a.txt", content="x")
    path.write_text("one")
    one = bench.target(files.write, path="a.txt", content="x")
    path.write_text("two")
    two = bench.target(files.write, path="a.txt", content="x")
    assert before == {"kind": "nothing"}
    assert one != two
    assert one["sha256"] == hashlib.sha256(b"one").hexdigest()
    assert bench.target(files.move, path="a.txt", to="b") == [two, {"kind": "nothing"}]


CHANGES: list[tuple[Any, dict[str, Any]]] = [
    (files.write, {"path": "a.txt", "content": "1\n2\n"}),
    (files.patch_, {"path": "a.txt", "diff": "@@ -2 +2 @@\n-two\n+2\n"}),
    (files.move, {"path": "a.txt", "to": "b.txt"}),
    (files.delete, {"path": "a.txt"}),
]


@pytest.mark.parametrize(("function", "given"), CHANGES)
def test_a_probe_tells_before_from_after(bench: Any, function: Any, given: dict[str, Any]) -> None:
    (root(bench) / "a.txt").write_text("1\ntwo\n")
    bench.judged(function, **given)
    assert bench.probe(function, **given) == NotHappened()
    done = bench.call(function, **given)
    assert bench.probe(function, **given) == Happened(done)


@pytest.mark.parametrize(("function", "given"), CHANGES)
def test_a_probe_does_not_guess_when_somebody_else_was_here(
    bench: Any, function: Any, given: dict[str, Any]
) -> None:
    path = root(bench) / "a.txt"
    path.write_text("1\ntwo\n")
    bench.judged(function, **given)
    path.write_text("mine now\n")
    assert bench.probe(function, **given) == Unknown()
    assert path.read_text() == "mine now\n"


def test_a_patch_is_not_taken_for_done_in_another_text(bench: Any) -> None:
    (root(bench) / "a.txt").write_text("1\ntwo\n")
    args = {"path": "a.txt", "diff": "@@ -2 +2 @@\n-two\n+2\n"}
    bench.judged(files.patch_, **args)
    (root(bench) / "a.txt").write_text("somebody else's\n2\n")
    assert bench.probe(files.patch_, **args) == Unknown()


def test_a_probe_of_a_new_file_by_patch(bench: Any) -> None:
    given = {"path": "n.txt", "diff": "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+new\n"}
    bench.judged(files.patch_, **given)
    assert bench.probe(files.patch_, **given) == NotHappened()
    bench.call(files.patch_, **given)
    assert isinstance(bench.probe(files.patch_, **given), Happened)


def test_a_repeated_write_is_the_same_file(bench: Any) -> None:
    first = bench.call(files.write, path="a", content="x")
    assert bench.call(files.write, path="a", content="x") == first


def test_half_a_character_is_refused(bench: Any) -> None:
    with pytest.raises(errors.CallFailed, match="half of a character"):
        files.write("a", "x\ud800", ctx=bench.ctx)


def test_a_full_disk_says_so_and_leaves_the_old_file(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root(bench) / "a").write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.paths, "write", full)
    with pytest.raises(errors.CallFailed, match="disk is full"):
        bench.call(files.write, path="a", content="new")
    assert (root(bench) / "a").read_text() == "old"


def test_nul_in_a_path_is_refused_by_the_action_itself(bench: Any) -> None:
    for path in ("a\0b", "inputs/\0", "/\0"):
        with pytest.raises(errors.PathRefused):
            files.read(path, ctx=bench.ctx)
        with pytest.raises(errors.PathRefused):
            files.write(path, "x", ctx=bench.ctx)


def test_every_change_of_a_file_is_bound_to_what_lies_there_and_can_be_looked_up() -> None:
    for function in (edits.write, edits.patch_, moves.move, moves.delete):
        made = declare.build(function)
        assert (made.integration, made.effect) == ("files", Effect.CHECKABLE), made.id
        assert (made.target, made.touches) == (contents.target, contents.touches), made.id
        assert made.check and made.classify and made.preview
