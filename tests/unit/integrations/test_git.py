"""Git: what is told, what a commit holds, branches; and that a repository can make it run nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.actions import Happened, NotHappened, Risk, Unknown, card, outgoing
from alfred.engines import git as engine
from alfred.engines import git_config, git_start
from alfred.integrations import git, judged, push, remotes, repository
from tests import repositories
from tests.built import built

pytestmark = pytest.mark.needs_program("git")

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody who uses git."""
    folder = tmp_path / "person"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    (folder / ".gitconfig").write_text("[user]\n name = Pat\n email = pat@example.org\n")
    return folder


def sh(folder: Path, *args: str, **more: Any) -> str:
    """Git as the person runs it."""
    done = subprocess.run(
        ["git", *args], cwd=folder, check=True, capture_output=True, text=True, **more
    )
    return done.stdout


def root(bench: Any) -> Path:
    return bench.ctx.workspace.root


def start(bench: Any) -> Path:
    """A repository with one commit, in the workspace."""
    return repositories.one_commit(root(bench))


# ---- looking


def test_a_folder_without_a_repository_says_so(bench: Any) -> None:
    for function, args in [
        (git.status, {}),
        (git.log, {}),
        (git.diff, {}),
        (git.commit, {"message": "x"}),
    ]:
        with pytest.raises(errors.CallFailed, match="not in a git repository"):
            bench.call(function, **args)


def test_a_made_workspace_does_not_reach_into_a_repository_around_it(
    bench: Any, home: Path
) -> None:
    sh(home, "init", "-q")
    with pytest.raises(errors.CallFailed, match="not in a git repository"):
        bench.call(git.status)


def test_the_status_of_an_empty_repository(bench: Any) -> None:
    sh(root(bench), "init", "-q", "-b", "main")
    told = bench.call(git.status)
    assert (told["branch"], told["head"], told["clean"]) == ("main", None, True)
    assert bench.call(git.log) == []
    assert bench.call(git.diff)["diff"] == ""


def test_a_status_tells_every_kind_of_change(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    for name in ("mod", "gone", "moved", "ü n\ni"):
        (at / name).write_text(name * 20)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "second")
    (at / "mod").write_text("x")
    (at / "gone").unlink()
    sh(at, "mv", "moved", "to here")
    (at / "new").write_text("n")
    (at / "ü n\ni").write_text("y")
    told = bench.call(git.status)
    shown = {(f["path"], f["index"], f["worktree"], f.get("from")) for f in told["files"]}
    assert shown == {
        ("mod", ".", "M", None),
        ("gone", ".", "D", None),
        ("to here", "R", ".", "moved"),
        ("new", "?", "?", None),
        ("ü n\ni", ".", "M", None),
    }
    assert not told["clean"]


def test_a_status_counts_ahead_and_behind(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    commit_elsewhere(bare, tmp_path)
    sh(at, "fetch", "-q")
    sh(at, "commit", "-q", "--allow-empty", "-m", "ours")
    told = bench.call(git.status)
    assert (told["upstream"], told["ahead"], told["behind"]) == ("origin/main", 1, 1)


def test_in_a_folder_of_a_repository_paths_are_from_the_folder(
    new_bench: Any, brought: Any
) -> None:
    at = start(brought)
    (at / "sub").mkdir()
    (at / "sub" / "b.txt").write_text("b\n")
    (at / "outside.txt").write_text("o\n")
    bench = new_bench(made=False, root=at / "sub")
    assert [f["path"] for f in bench.call(git.status)["files"]] == ["b.txt"]
    done = bench.call(git.commit, message="below")
    assert sh(at, "show", "--name-only", "--format=", done["sha"]) == "sub/b.txt\n"
    assert sh(at, "status", "--porcelain") == "?? outside.txt\n"


def test_a_log_has_the_newest_commits(bench: Any) -> None:
    at = start(bench)
    for n in range(3):
        sh(at, "commit", "-q", "--allow-empty", "-m", f"c{n} \u202e |%x00\n\nbody")
    commits = bench.call(git.log, limit=2)
    assert [c["subject"] for c in commits] == ["c2 \u202e |%x00", "c1 \u202e |%x00"]
    assert commits[0].keys() == {"sha", "author", "email", "date", "subject"}
    assert commits[0]["author"] == "Pat"
    assert len(bench.call(git.log)) == 4


def test_a_diff_is_against_the_last_commit_or_another(bench: Any) -> None:
    at = start(bench)
    (at / "a.txt").write_text("two\n")
    assert "-one\n+two\n" in bench.call(git.diff)["diff"]
    sh(at, "commit", "-q", "-a", "-m", "second")
    assert bench.call(git.diff)["diff"] == ""
    assert "-one\n+two\n" in bench.call(git.diff, ref="HEAD~1")["diff"]
    assert "-one\n+two\n" in bench.call(git.diff, ref="HEAD~1..HEAD")["diff"]
    assert "+two" in bench.call(git.show, ref="HEAD")["text"]
    assert bench.call(git.show, ref="HEAD~1:a.txt")["text"] == "one\n"


def test_a_long_diff_is_cut_and_says_so(bench: Any) -> None:
    at = start(bench)
    (at / "a.txt").write_text("".join(f"{n}\n" for n in range(50_000)))
    told = bench.call(git.diff)
    assert told["length"] > 200_000
    assert "characters left out" in told["diff"]


@pytest.mark.parametrize(
    "ref", ["", "-p", "--output=/tmp/x", "--ext-diff", "nothing", "a\nb", "HEAD~99", "@{-9}"]
)
def test_what_is_no_revision_is_refused(bench: Any, ref: str, tmp_path: Path) -> None:
    start(bench)
    for function in (git.diff, git.show):
        with pytest.raises((errors.CallFailed, errors.CallRefused)):
            bench.call(function, ref=ref)


def test_options_that_hide_in_a_range_are_none(bench: Any, tmp_path: Path) -> None:
    start(bench)
    for ref in (f"--output={tmp_path}/out..HEAD", "-O/etc/passwd..HEAD"):
        with pytest.raises(errors.CallFailed, match="names no commit"):
            bench.call(git.diff, ref=ref)
    assert not (tmp_path / "out").exists()


# ---- committing


def test_a_commit_holds_everything_that_changed(bench: Any) -> None:
    at = start(bench)
    (at / ".gitignore").write_text("ignored\n")
    (at / "ignored").write_text("x")
    (at / "a.txt").write_text("two\n")
    (at / "new dir").mkdir()
    (at / "new dir" / "b").write_text("b")
    done = bench.call(git.commit, key=KEY, message="Second\n\nbecause")
    assert done == {
        "sha": sh(at, "rev-parse", "HEAD").strip(),
        "branch": "main",
        "subject": "Second",
    }
    assert sh(at, "status", "--porcelain") == ""
    assert sh(at, "show", "--name-only", "--format=") == ".gitignore\na.txt\nnew dir/b\n"
    said = sh(at, "log", "-1", "--format=%an <%ae>%n%B")
    assert said.startswith("Pat <pat@example.org>\nSecond\n\nbecause\n")
    assert f"\nAlfred-Call: {KEY[:16]}\n" in said
    assert sh(at, "log", "-1", "--format=%(trailers:key=Alfred-Call,valueonly)").strip() == KEY[:16]


def test_the_first_commit_of_a_repository(bench: Any) -> None:
    at = root(bench)
    sh(at, "init", "-q", "-b", "trunk")
    (at / "a").write_text("x")
    assert bench.probe(git.commit, key=KEY, message="First") == NotHappened()
    done = bench.call(git.commit, key=KEY, message="First")
    assert sh(at, "rev-list", "--count", "HEAD") == "1\n"
    assert done["branch"] == "trunk"


def test_a_commit_of_paths_leaves_everything_else(bench: Any) -> None:
    at = start(bench)
    for name in ("b", "staged", "c"):
        (at / name).write_text(name)
    sh(at, "add", "staged")
    (at / "a.txt").unlink()
    bench.call(git.commit, message="Some", paths=["b", "a.txt"])
    assert sh(at, "show", "--name-status", "--format=") == "D\ta.txt\nA\tb\n"
    assert sh(at, "status", "--porcelain") == "A  staged\n?? c\n"


def test_a_commit_of_a_name_with_magic_is_that_name(bench: Any) -> None:
    at = start(bench)
    for name in (":(top)x", "*", "b", "-f", ":/"):
        (at / name).write_text("x") if name != ":/" else None
    bench.call(git.commit, message="Stars", paths=["*", ":(top)x", "./-f"])
    names = sh(at, "show", "--name-only", "-z", "--format=").split("\0")
    assert sorted(filter(None, names)) == ["*", "-f", ":(top)x"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "nothing", "", "a\0b"])
def test_a_commit_of_what_is_not_there_fails_and_changes_nothing(bench: Any, path: str) -> None:
    at = start(bench)
    (at / "a.txt").write_text("two\n")
    before = sh(at, "rev-parse", "HEAD")
    with pytest.raises((errors.CallFailed, errors.PathRefused, errors.CallRefused)):
        bench.call(git.commit, message="x", paths=["a.txt", path])
    assert sh(at, "rev-parse", "HEAD") == before
    assert sh(at, "status", "--porcelain") == " M a.txt\n"


def test_nothing_to_commit_an_empty_message_and_a_merge_say_so(bench: Any) -> None:
    at = start(bench)
    with pytest.raises(errors.CallFailed, match="nothing to commit"):
        bench.call(git.commit, message="x")
    (at / "a.txt").write_text("two\n")
    with pytest.raises(errors.CallFailed, match="needs a message"):
        bench.call(git.commit, message=" \n")
    (at / ".git" / "MERGE_HEAD").write_text(sh(at, "rev-parse", "HEAD"))
    with pytest.raises(errors.CallFailed, match="MERGE_HEAD"):
        bench.call(git.commit, message="x")


def test_without_a_name_a_commit_says_what_to_do(bench: Any, person: Path) -> None:
    at = start(bench)
    (person / ".gitconfig").write_text("")
    (at / "a.txt").write_text("two\n")
    with pytest.raises(errors.CallFailed, match=r"user\.(name|email)|identity|no email"):
        bench.call(git.commit, message="x")
    assert sh(at, "rev-list", "--count", "HEAD") == "1\n"


def test_what_goes_through_a_filter_is_not_committed(bench: Any) -> None:
    at = start(bench)
    (at / ".gitattributes").write_text("*.bin filter=lfs\n")
    (at / "x.bin").write_text("large")
    with pytest.raises(errors.CallFailed, match="filter 'lfs'"):
        bench.call(git.commit, message="x")
    bench.call(git.commit, message="x", paths=[".gitattributes"])


def test_a_repository_within_stays_out_of_a_commit(bench: Any) -> None:
    at = start(bench)
    (at / "inner").mkdir()
    sh(at / "inner", "init", "-q")
    (at / "inner" / "x").write_text("x")
    (at / "b").write_text("b")
    bench.call(git.commit, message="x")
    assert sh(at, "show", "--name-only", "--format=") == "b\n"


def test_a_commit_in_a_worktree(bench: Any, tmp_path: Path) -> None:
    main = tmp_path / "main"
    main.mkdir()
    sh(main, "init", "-q", "-b", "main")
    sh(main, "commit", "-q", "--allow-empty", "-m", "first")
    root(bench).rmdir()
    sh(main, "worktree", "add", "-q", "-b", "agent/x", str(root(bench)))
    (root(bench) / "b").write_text("b")
    done = bench.call(git.commit, message="In a worktree")
    assert done["branch"] == "agent/x"
    assert sh(main, "rev-parse", "agent/x").strip() == done["sha"]


def test_a_commit_beside_an_input_holds_the_others_and_leaves_the_input_alone(
    new_bench: Any, brought: Any
) -> None:
    at = start(brought)
    (at / "data").mkdir()
    given = at / "data" / "given.txt"
    given.write_text("given\n")
    (at / "a.txt").write_text("two\n")
    bench = new_bench(made=False, root=at, inputs={"given.txt": given})
    before = given.stat()
    done = bench.call(git.commit, message="others", paths=["a.txt"])
    assert sh(at, "show", "--name-only", "--format=", done["sha"]) == "a.txt\n"
    done = bench.call(git.commit, message="all")
    assert sh(at, "show", "--name-only", "--format=", done["sha"]) == "data/given.txt\n"
    after = given.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("name", ["HEAD", "index", "refs/heads/main", "logs/HEAD"])
def test_git_does_not_change_an_input_that_lies_in_its_own_folder(
    new_bench: Any, brought: Any, tmp_path: Path, name: str
) -> None:
    at = start(brought)
    remote(at, tmp_path)
    (at / "a.txt").write_text("two\n")
    elsewhere = tmp_path / "tree"
    sh(at, "worktree", "add", "-q", "-b", "other", str(elsewhere))
    given = at / ".git" / name
    before = given.read_bytes()
    for top in (at, elsewhere):
        bench = new_bench(made=False, root=top, inputs={given.name: given})
        assert bench.call(git.status)["branch"]
        for function, args in [
            (git.commit, {"message": "m"}),
            (git.branch, {"name": "new"}),
            (git.branch, {"name": "other", "delete": True}),
            (push.push, {"remote": "origin", "branch": "other"}),
        ]:
            with pytest.raises(errors.CallFailed, match="input"):
                bench.call(function, **args)
    assert given.read_bytes() == before


def test_judging_a_commit_leaves_no_trace(bench: Any) -> None:
    at = start(bench)
    (at / "b").write_text("b")

    def everything() -> dict[str, str]:
        return {
            str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in at.rglob("*") if p.is_file()
        }

    before = everything()
    bench.target(git.commit, message="x")
    bench.preview(git.commit, message="x")
    bench.risk(git.commit, message="x")
    bench.call(git.status)
    bench.call(git.diff)
    assert everything() == before


def test_the_target_of_a_commit_is_its_content(bench: Any) -> None:
    at = start(bench)
    (at / "a.txt").write_text("two\n")
    two = bench.target(git.commit, message="x")
    (at / "a.txt").write_text("three\n")
    three = bench.target(git.commit, message="x")
    sh(at, "commit", "-q", "--allow-empty", "-m", "other")
    moved = bench.target(git.commit, message="x")
    assert two["tree"] != three["tree"] == moved["tree"]
    assert two["parent"] == three["parent"] != moved["parent"]
    done = bench.call(git.commit, message="x")
    assert sh(at, "rev-parse", f"{done['sha']}^{{tree}}").strip() == moved["tree"]


@pytest.mark.parametrize("path", [".github/workflows/x.yml", ".env", "AGENTS.md", ".gitattributes"])
def test_a_commit_of_delicate_files_is_one_tier_higher(bench: Any, brought: Any, path: str) -> None:
    for here, usual, delicate in [
        (bench, Risk.NONE, Risk.LOW),
        (brought, Risk.MEDIUM, Risk.HIGH),
    ]:
        at = start(here)
        (at / "b").write_text("b")
        assert here.risk(git.commit, message="x") is usual
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_text("x")
        assert here.risk(git.commit, message="x") is delicate
        assert here.risk(git.commit, message="x", paths=["b"]) is usual
        assert here.risk(git.commit, message="x", paths=["b", path]) is delicate


def test_what_came_into_a_commit_after_it_was_judged_is_asked(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(bench)
    (at / "b").write_text("b")
    (at / ".env").write_text("x")
    monkeypatch.setattr(judged, "risk", lambda _: Risk.NONE)
    with pytest.raises(errors.CallFailed, match=r"\.env"):
        bench.call(git.commit, message="x")
    assert sh(at, "rev-list", "--count", "HEAD") == "1\n"


def test_the_card_of_a_commit_shows_message_and_diff(brought: Any) -> None:
    at = start(brought)
    key = "AKIA" + "Q3EGRIVZ5WXY7ABC"
    (at / "a.txt").write_text(f"two\naws = {key}\n")
    shown = brought.preview(git.commit, message="Why\n\nthis")
    assert "commit 1 file on main\n  'a.txt'\n\nWhy\n\nthis\n" in shown
    assert "-one\n+two" in shown
    assert key not in shown
    # each file that it holds is on it, however long the diff of another one is
    for name in ("a.txt", "m.txt", "z\n.txt"):
        (at / name).write_text("long\n" * 5_000)
    shown = card.preview({}, brought.preview(git.commit, message="x"))
    assert "commit 3 files" in shown and "characters are not shown" in shown
    assert "\n  'a.txt'\n  'm.txt'\n  'z" in shown


def test_a_probe_finds_a_commit_by_its_trailer(bench: Any) -> None:
    at = start(bench)
    (at / "b").write_text("b")
    args = {"message": "Mine"}
    assert bench.probe(git.commit, key=KEY, **args) == NotHappened()
    done = bench.call(git.commit, key=KEY, **args)
    sh(at, "commit", "-q", "--allow-empty", "-m", "somebody else's, on top")
    assert bench.probe(git.commit, key=KEY, **args) == Happened(done)
    assert bench.probe(git.commit, key="f" * 64, **args) == NotHappened()


def test_a_trailer_that_is_only_quoted_is_not_believed(bench: Any) -> None:
    at = start(bench)
    sh(
        at,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        f"x\n\n> Alfred-Call: {KEY[:16]}\nAlfred-Call: {KEY[:15]}",
    )
    assert bench.probe(git.commit, key=KEY, message="x") == NotHappened()


# ---- branches


def test_a_branch_is_made_at_the_current_commit_and_switched_to(bench: Any) -> None:
    at = start(bench)
    (at / "a.txt").write_text("not committed\n")
    head = sh(at, "rev-parse", "HEAD").strip()
    assert bench.call(git.branch, name="fix/login") == {"branch": "fix/login", "sha": head}
    assert bench.call(git.status)["branch"] == "fix/login"
    assert (at / "a.txt").read_text() == "not committed\n"
    with pytest.raises(errors.CallFailed, match="already"):
        bench.call(git.branch, name="fix/login")


def test_a_branch_is_deleted_but_never_the_current_one(bench: Any) -> None:
    at = start(bench)
    head = sh(at, "rev-parse", "HEAD").strip()
    sh(at, "branch", "old")
    assert bench.call(git.branch, name="old", delete=True)["was"] == head
    assert sh(at, "branch", "--list", "old") == ""
    with pytest.raises(errors.CallFailed):
        bench.call(git.branch, name="main", delete=True)
    with pytest.raises(errors.CallFailed, match="no branch"):
        bench.call(git.branch, name="old", delete=True)


NO_BRANCHES = [
    *("", "-d", "--force", "HEAD", "refs/heads/x", "a..b", "a b", "a~1", "a^", "a:b", "a?"),
    *("a*", "a[", "a\\b", "/a", "a/", "a//b", ".a", "a.lock", "a.", "@{-1}", "a@{0}", "a\0b"),
    *("a\nb", "a\x7f", "x/.y", "-"),
]


@pytest.mark.parametrize("delete", [False, True])
def test_names_that_git_could_take_for_something_else_are_refused(bench: Any, delete: bool) -> None:
    at = start(bench)
    for name in NO_BRANCHES:
        with pytest.raises((errors.CallFailed, errors.CallRefused)):
            bench.call(git.branch, name=name, delete=delete)
    assert sh(at, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"


def test_what_branches_risk(bench: Any, brought: Any) -> None:
    start(bench)
    start(brought)
    assert bench.risk(git.branch, name="x") is Risk.NONE
    assert brought.risk(git.branch, name="x") is Risk.MEDIUM
    assert bench.risk(git.branch, name="x", delete=True) is Risk.MEDIUM
    assert brought.risk(git.branch, name="x", delete=True) is Risk.MEDIUM


def test_the_card_of_a_deletion_counts_what_would_be_lost(brought: Any) -> None:
    at = start(brought)
    sh(at, "checkout", "-q", "-b", "old")
    sh(at, "commit", "-q", "--allow-empty", "-m", "only here")
    sh(at, "checkout", "-q", "main")
    shown = brought.preview(git.branch, name="old", delete=True)
    assert sh(at, "rev-parse", "old").strip() in shown
    assert shown.endswith("on no other branch, remote or tag: 1")


def test_probes_of_branches(bench: Any) -> None:
    at = start(bench)
    bench.judged(git.branch, name="x")
    assert bench.probe(git.branch, name="x") == NotHappened()
    done = bench.call(git.branch, name="x")
    assert bench.probe(git.branch, name="x") == Happened(done)
    sh(at, "commit", "-q", "--allow-empty", "-m", "moved on")
    assert bench.probe(git.branch, name="x") == Unknown()
    sh(at, "checkout", "-q", "main")
    bench.judged(git.branch, name="x", delete=True)
    assert bench.probe(git.branch, name="x", delete=True) == NotHappened()
    done = bench.call(git.branch, name="x", delete=True)
    assert bench.probe(git.branch, name="x", delete=True) == Happened(done)


# ---- pushing


def remote(at: Path, tmp_path: Path, name: str = "origin") -> Path:
    bare = repositories.bare(tmp_path / f"{name}.git")
    sh(at, "remote", "add", name, str(bare))
    return bare


def commit_elsewhere(bare: Path, tmp_path: Path) -> str:
    """Somebody else pushes to main."""
    other = tmp_path / "other"
    sh(tmp_path, "clone", "-q", str(bare), str(other))
    sh(other, "commit", "-q", "--allow-empty", "-m", "theirs")
    sh(other, "push", "-q", "origin", "HEAD:main")
    return sh(other, "rev-parse", "HEAD").strip()


def head(at: Path, ref: str = "HEAD") -> str:
    return sh(at, "rev-parse", ref).strip()


def test_a_branch_is_pushed_by_its_hash(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    bench.call(git.branch, name="topic")
    (at / "b").write_text("b")
    bench.call(git.commit, message="x")
    done = bench.call(push.push, remote="origin", branch="topic")
    assert done == {"remote": "origin", "branch": "topic", "sha": head(at), "address": str(bare)}
    assert head(bare, "topic") == head(at)
    assert head(at, "origin/topic") == head(at)
    assert sh(bare, "for-each-ref", "--format=%(refname)") == "refs/heads/topic\n"
    assert bench.call(push.push, remote="origin", branch="topic") == done


def test_a_push_over_the_work_of_others_is_refused_by_the_remote(
    bench: Any, tmp_path: Path
) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    sh(at, "push", "-q", "origin", "main")
    theirs = commit_elsewhere(bare, tmp_path)
    sh(at, "commit", "-q", "--allow-empty", "-m", "ours")
    with pytest.raises(errors.CallFailed, match="did not take main") as told:
        bench.call(push.push, remote="origin", branch="main")
    assert told.value.next
    assert head(bare, "main") == theirs


def test_a_forced_push_overwrites(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    sh(at, "push", "-q", "origin", "main")
    commit_elsewhere(bare, tmp_path)
    sh(at, "commit", "-q", "--allow-empty", "-m", "ours")
    bench.call(push.push, remote="origin", branch="main", force=True)
    assert head(bare, "main") == head(at)


def test_a_forced_push_holds_only_for_what_was_seen_there(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    sh(at, "push", "-q", "origin", "main")
    seen = head(bare, "main")
    theirs = commit_elsewhere(bare, tmp_path)
    sh(at, "commit", "-q", "--allow-empty", "-m", "ours")
    monkeypatch.setattr(remotes, "known", lambda *_: seen)
    with pytest.raises(errors.CallFailed, match="stale info"):
        bench.call(push.push, remote="origin", branch="main", force=True)
    assert head(bare, "main") == theirs


def test_what_a_push_risks(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    sh(bare, "symbolic-ref", "HEAD", "refs/heads/develop")
    sh(at, "push", "-q", "origin", "main:refs/heads/develop")
    for branch, risk in [
        *(("topic", Risk.MEDIUM), ("mainly", Risk.MEDIUM), ("develop", Risk.HIGH)),
        *(("main", Risk.HIGH), ("master", Risk.HIGH), ("release/1.2", Risk.HIGH)),
        *(("release-2", Risk.HIGH), ("Main", Risk.HIGH), ("releases/3", Risk.HIGH)),
        # what is built or shown from, whatever the remote's default one is
        *(("gh-pages", Risk.HIGH), ("prod", Risk.HIGH), ("staging", Risk.HIGH)),
    ]:
        assert bench.risk(push.push, remote="origin", branch=branch) is risk, branch
        assert bench.risk(push.push, remote="origin", branch=branch, force=True) is Risk.HIGH


def test_a_remote_whose_default_branch_is_not_known_is_high(bench: Any) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", "https://git.example.org/x.git")
    assert bench.risk(push.push, remote="origin", branch="topic") is Risk.HIGH
    assert "not known here" in bench.preview(push.push, remote="origin", branch="main")
    sh(at, "update-ref", "refs/remotes/origin/dev", "HEAD")
    sh(at, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/dev")
    assert bench.risk(push.push, remote="origin", branch="topic") is Risk.MEDIUM
    assert bench.risk(push.push, remote="origin", branch="dev") is Risk.HIGH


def test_the_card_of_a_push_says_where_and_what(
    brought: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(brought)
    bare = remote(at, tmp_path)
    shown = brought.preview(push.push, remote="origin", branch="main")
    assert f"address: {bare}" in shown
    assert head(at) in shown
    assert "first" in shown
    sh(at, "push", "-q", "origin", "main")
    commit_elsewhere(bare, tmp_path)
    sh(at, "fetch", "-q")
    forced = brought.preview(push.push, remote="origin", branch="main", force=True)
    assert forced.startswith("FORCE-push")
    assert forced.index("overwritten there:") < forced.index("theirs")
    assert "older" not in forced and "first" not in forced, "that is there"
    # what it has no room for is counted
    monkeypatch.setattr(push, "COMMITS", 2)
    sh(at, "branch", "-q", "other")
    for n in range(4):
        sh(at, "commit", "-q", "--allow-empty", "-m", f"mine {n}")
    for branch in ("main", "topic"):
        sh(at, "branch", "-f", "topic")
        shown = brought.preview(push.push, remote="origin", branch=branch)
        assert "mine 3" in shown and "mine 1" not in shown and "and 2 older ones" in shown
    assert "no new commit" in brought.preview(push.push, remote="origin", branch="other")


def test_a_password_in_an_address_is_not_shown(bench: Any, person: Path) -> None:
    at = start(bench)
    token = "ghp_" + "a1B2" * 9
    sh(at, "remote", "add", "origin", f"https://pat:{token}@git.example.org/x.git")
    shown = bench.preview(push.push, remote="origin", branch="main")
    assert token not in shown
    assert "https://git.example.org/x.git" in shown
    with pytest.raises(errors.CallFailed) as told:
        bench.call(push.push, remote="origin", branch="main")
    assert token not in str(told.value)


@pytest.mark.parametrize(
    "url", ["https://pat:hunter@22@git.example.org/x", "git://pat:hunter22@git.example.org/x",
            "ssh://pat:hunter22@git.example.org/x"],
)  # fmt: skip
def test_an_address_whose_password_git_would_repeat_is_refused(bench: Any, url: str) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", url)
    for ask in (bench.call, bench.preview):
        with pytest.raises(errors.CallFailed, match="is refused") as told:
            ask(push.push, remote="origin", branch="topic")
        assert "22" not in str(told.value)


def test_a_password_in_an_address_is_neither_told_nor_written_down(bench: Any) -> None:
    at = start(bench)
    url = "https://pat:hunter22@git.example.org/x.git"
    sh(at, "remote", "add", "origin", url)
    first = bench.target(push.push, remote="origin", branch="main")
    assert "hunter22" not in str(first)
    sh(at, "remote", "set-url", "origin", url.replace("pat:", "kim:"))
    assert bench.target(push.push, remote="origin", branch="main") != first
    sh(at, "remote", "set-url", "origin", url)
    sh(at, "config", f"remote.{url}.pushurl", "https://evil.example/")
    with pytest.raises(errors.CallFailed, match="lead a push elsewhere") as told:
        bench.call(push.push, remote="origin", branch="main")
    assert "hunter22" not in str(told.value)


def test_a_remote_inside_a_network_is_not_asked_either(bench: Any) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", "https://169.254.169.254/x.git")
    bench.judged(push.push, remote="origin", branch="main")
    with pytest.raises(errors.CallFailed, match="is refused"):
        bench.probe(push.push, remote="origin", branch="main")


TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4


def found(bench: Any, branch: str = "main") -> set[tuple[str, str]]:
    """The secrets that a push would take along: where, and which."""
    args = {"remote": "origin", "branch": branch, "force": False}
    leak = outgoing.leak(built(git.push), args, bench.ctx)
    assert leak.unseen is None
    return set(leak.secrets)


HIDDEN: dict[str, Callable[[Path], Any]] = {
    "as it is": lambda at: (at / "f").write_text(TOKEN),
    "in UTF-16": lambda at: (at / "f").write_text(f"key {TOKEN}", "utf-16"),
    "in base64": lambda at: (at / "f").write_bytes(base64.b64encode(f"k={TOKEN}".encode())),
    "like the head of a file": lambda at: (at / "f").write_text(f"++ b/{TOKEN}\n"),
    "in a file that is called binary": lambda at: [
        (at / ".gitattributes").write_text("* -diff binary\n"),
        (at / "f").write_text(TOKEN),
    ],
    "in a file that is called too large": lambda at: [
        sh(at, "config", "core.bigFileThreshold", "1"),
        (at / "f").write_text(TOKEN),
    ],
    "in the name of a file": lambda at: (at / TOKEN).write_text("x"),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_a_push_is_looked_through_for_secrets(bench: Any, tmp_path: Path, how: str) -> None:
    at = start(bench)
    remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    assert found(bench) == set()
    HIDDEN[how](at)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "plain")
    assert {name for _, name in found(bench)} == {"github-token"}


def test_every_commit_of_a_push_is_looked_at_by_itself(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    (at / "before").write_text("gh" + "p_" + "z9Y8x7W6v5" * 4)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "there already")
    remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    (at / "f").write_text(TOKEN)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "added")
    (at / "f").unlink()
    sh(at, "commit", "-qam", "taken out again")
    assert found(bench) == {("f", "github-token")}
    sh(at, "commit", "-q", "--allow-empty", "-m", f"and {TOKEN}")
    assert {where for where, _ in found(bench)} == {"f", f"the message of {head(at)[:7]}"}
    sh(at, "checkout", "-q", "-b", "other", "HEAD~3")
    assert found(bench, "other") == set()


def test_what_stands_for_an_object_hides_nothing_of_it(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    (at / "f").write_text(TOKEN)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "added")
    harmless = sh(at, "commit-tree", "-p", "HEAD~", "-m", "harmless", "HEAD~^{tree}").strip()
    sh(at, "replace", "HEAD", harmless)
    assert TOKEN not in sh(at, "log", "-p", "-1")
    assert found(bench) == {("f", "github-token")}
    sh(at, "replace", "-d", "HEAD")
    (at / ".git" / "info").mkdir(exist_ok=True)
    (at / "f").unlink()
    sh(at, "commit", "-qam", "taken out again")
    (at / ".git" / "info" / "grafts").write_text(f"{head(at)} {head(at, 'origin/main')}\n")
    assert found(bench) == {("f", "github-token")}


def test_a_push_is_looked_through_above_the_workspace_too(new_bench: Any, tmp_path: Path) -> None:
    at = repositories.one_commit(tmp_path / "project")
    remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    sh(at, "config", "diff.relative", "true")
    (at / "sub").mkdir()
    (at / "f").write_text(TOKEN)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "above")
    assert found(new_bench(made=False, root=at / "sub")) == {("f", "github-token")}


def test_a_secret_that_only_a_merge_brings_is_found(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    remote(at, tmp_path)
    sh(at, "push", "-q", "-u", "origin", "main")
    for branch in ("one", "two"):
        sh(at, "checkout", "-q", "-b", branch, "main")
        (at / "f").write_text(branch)
        sh(at, "add", ".")
        sh(at, "commit", "-q", "-m", branch)
    subprocess.run(["git", "merge", "-q", "one"], cwd=at, capture_output=True)
    (at / "f").write_text(TOKEN)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "merged")
    assert found(bench, "two") == {("f", "github-token")}


def test_a_push_that_is_too_large_to_look_through_says_so(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(bench)
    remote(at, tmp_path)
    monkeypatch.setattr(git_start, "OUTPUT", 2_000)
    (at / "f").write_text("x\n" * 2_000)
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "large")
    args = {"remote": "origin", "branch": "main", "force": False}
    leak = outgoing.leak(built(git.push), args, bench.ctx)
    assert "more than 2,000 bytes" in (leak.unseen or "")
    assert leak.risk is Risk.HIGH


def test_the_target_of_a_push_is_address_and_commit(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    remote(at, tmp_path)
    first = bench.target(push.push, remote="origin", branch="main")
    sh(at, "commit", "-q", "--allow-empty", "-m", "more")
    second = bench.target(push.push, remote="origin", branch="main")
    sh(at, "remote", "set-url", "origin", "https://elsewhere.example/x")
    third = bench.target(push.push, remote="origin", branch="main")
    assert len({str(first), str(second), str(third)}) == 3


def test_probes_of_pushes(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    args = {"remote": "origin", "branch": "main"}
    bench.judged(push.push, **args)
    assert bench.probe(push.push, **args) == NotHappened()
    done = bench.call(push.push, **args)
    assert bench.probe(push.push, **args) == Happened(done)
    sh(at, "commit", "-q", "--allow-empty", "-m", "later, here")
    assert bench.probe(push.push, **args) == Happened(done)
    bench.judged(push.push, **args)
    assert bench.probe(push.push, **args) == NotHappened()
    commit_elsewhere(bare, tmp_path)
    assert bench.probe(push.push, **args) == Unknown()


ADDRESSES = [
    "ext::sh -c touch% canary",
    "ext::sh",
    "fd::17",
    "EXT::sh",
    "::x",
    "foo::bar",
    "http://example.org/x.git",
    "ftp://example.org/x.git",
    "rsync://example.org/x",
    "git+ssh://example.org/x",
    "ssh://-oProxyCommand=touch%20canary/x",
    "ssh://-x@example.org/x",
    "-oProxyCommand=x:y",
    "--upload-pack=touch",
    "-u",
    "https:///nohost",
    "https://[",
    "file://elsewhere.example/x",
    "https://127.0.0.1/x.git",
    "https://169.254.169.254/latest/meta-data",
    "https://localhost/x",
    "https://metadata.google.internal/x",
    "https://example.org:22/x",
    "https://10.0.0.1/x",
    "https://[::1]/x",
    ".",
    "./evil.git",
    "evil.git",
    "sub/../evil.git",
    "host name:x",
    "https://127.0.0.1?@8.8.8.8/x",
    "https://127.0.0.1#@8.8.8.8/x",
    "ssh://evil.example?@example.org/x",
    "ssh://evil.example\\\\@example.org/x",
]


def test_addresses_that_lead_elsewhere_are_refused(
    brought: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(brought)
    sh(at, "init", "-q", "--bare", "evil.git")
    config = at / ".git" / "config"
    usual = config.read_text()
    ran: list[Any] = []
    real = engine.run

    def run(*args: Any, **kwargs: Any) -> Any:
        ran.append(kwargs.get("network"))
        return real(*args, **kwargs)

    monkeypatch.setattr(engine, "run", run)
    for url in ADDRESSES:
        config.write_text(f'{usual}[remote "origin"]\n\turl = "{url}"\n')
        with pytest.raises(errors.CallFailed, match="refused"):
            brought.call(push.push, remote="origin", branch="main")
    assert ran
    assert True not in ran
    assert not (at / "canary").exists()


@pytest.mark.parametrize("where", ["workspaces/r2", "worktrees/w/../../state"])
def test_a_remote_in_alfreds_home_is_refused_before_it_is_asked(
    brought: Any, home: Path, canary: Any, where: str
) -> None:
    """Another run's commands may write there, and git runs the hooks of a remote on this machine."""
    at = start(brought)
    there = home / where
    (home / "worktrees" / "w").mkdir(parents=True)
    there.mkdir(parents=True, exist_ok=True)
    sh(there, "init", "-q", "--bare")
    hook = there / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\n{canary('hook')}\n")
    hook.chmod(0o755)
    sh(at, "remote", "add", "origin", str(there))
    for ask in (brought.preview, brought.risk, brought.call):
        with pytest.raises(errors.CallFailed, match="own home"):
            ask(push.push, remote="origin", branch="topic")
    assert canary.traces() == []


def test_ordinary_addresses_are_accepted(bench: Any) -> None:
    at = start(bench)
    for n, url in enumerate(
        [
            *("https://example.org/x.git", "https://example.org:8443/x"),
            *("ssh://git@example.org/x", "ssh://git@example.org:2222/x", "git@example.org:x/y.git"),
            *("example.org:x", "git://example.org/x", "https://pat@example.org/x"),
        ]
    ):
        sh(at, "remote", "add", f"r{n}", url)
        assert remotes.configured(bench.ctx, repository.of(bench.ctx), f"r{n}").url == url


def test_only_names_of_configured_remotes_are_taken(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    for name in (str(bare), f"file://{bare}", "", "-f", "--mirror", "upstream", "origin/main", "."):
        with pytest.raises(errors.CallFailed, match="no remote"):
            bench.call(push.push, remote=name, branch="main")
    assert sh(bare, "for-each-ref") == ""


def test_only_branches_are_pushed(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    for branch in [
        *("", "-f", "--all", "--mirror", ":main", "+main", "a:b", "main:main", "HEAD", "refs/*"),
        *("*", "nothing"),
    ]:
        with pytest.raises(errors.CallFailed):
            bench.call(push.push, remote="origin", branch=branch)
    assert sh(bare, "for-each-ref") == ""


@pytest.mark.parametrize(
    "setting",
    [
        "url.{evil}.insteadOf={bare}",
        "url.{evil}.pushInsteadOf={bare}",
        "remote.{bare}.pushurl={evil}",
        "remote.{bare}.url={evil}",
        "remote.origin.vcs=evil",
        "remote.origin.proxy=http://evil.example",
        "http.proxy=http://evil.example",
        "http.https://example.org.sslVerify=false",
        "http.extraHeader=x",
        "http.sslVerify=false",
        "remote.origin.pushurl={evil}",
    ],
)
def test_a_config_that_leads_a_push_elsewhere_is_refused_or_shown(
    bench: Any, tmp_path: Path, setting: str
) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    evil = tmp_path / "evil.git"
    sh(tmp_path, "init", "-q", "--bare", str(evil))
    name, value = setting.format(evil=evil, bare=bare).split("=", 1)
    sh(at, "config", name, value)
    if name == "remote.origin.pushurl":
        assert f"address: {evil}" in bench.preview(push.push, remote="origin", branch="main")
        return
    with pytest.raises(errors.CallFailed, match="could lead a push elsewhere"):
        bench.call(push.push, remote="origin", branch="main")
    assert sh(evil, "for-each-ref") == sh(bare, "for-each-ref") == ""


def test_a_push_that_cannot_arrive_says_that_nothing_was_pushed(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", str(tmp_path / "nothing.git"))
    with pytest.raises(errors.CallFailed, match="Nothing was pushed"):
        bench.call(push.push, remote="origin", branch="main")


def test_a_push_that_arrived_is_told_so_whatever_the_other_side_prints(
    bench: Any, tmp_path: Path
) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    hook = bare / "hooks" / "reference-transaction"
    hook.write_text(
        "#!/bin/sh\n[ $1 = committed ] && echo x not found >&2 && kill -9 $PPID\ntrue\n"
    )
    hook.chmod(0o755)
    told = bench.call(push.push, remote="origin", branch="main")
    assert told["sha"] == head(bare, "main") == head(at)


def test_a_push_that_was_cut_off_is_unknown(bench: Any, tmp_path: Path, clock: Any) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    fifo = tmp_path / "wait"
    os.mkfifo(fifo)
    hook = bare / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ncat {fifo}\n")
    hook.chmod(0o755)
    bench.ctx = bench.ctx.__class__(
        **{f: getattr(bench.ctx, f) for f in bench.ctx.__slots__}
        | {"on_cancel": lambda stop: stop()}
    )
    with pytest.raises(errors.OutcomeUnknown, match="cut off"):
        bench.call(push.push, remote="origin", branch="main")


def test_a_remote_that_says_no_is_heard(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho policy forbids this >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(errors.CallFailed, match="policy forbids this"):
        bench.call(push.push, remote="origin", branch="main")


# ---- a repository that wants to run something


@pytest.fixture
def canary(tmp_path: Path) -> Callable[[str], str]:
    """A command that leaves a trace, by name; `traces()` lists them."""
    folder = tmp_path / "canaries"
    folder.mkdir()

    def command(name: str, then: str = "cat 2>/dev/null; exit 0") -> str:
        script = folder.parent / f"run-{name}"
        script.write_text(f"#!/bin/sh\n: > {folder}/{name}\n{then}\n")
        script.chmod(0o755)
        return str(script)

    command.traces = lambda: sorted(p.name for p in folder.iterdir())  # type: ignore[attr-defined]
    return command


HOOKS = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-push",
    "reference-transaction",
    "post-checkout",
    "post-index-change",
    "pre-auto-gc",
    "post-rewrite",
    "post-merge",
    "fsmonitor-watchman",
    "applypatch-msg",
    "update",
]

SETTINGS = {
    "core.fsmonitor": "fsmonitor",
    "core.pager": "pager",
    "core.editor": "editor",
    "core.sshCommand": "ssh",
    "core.askPass": "askpass",
    "core.gitProxy": "gitproxy",
    "core.alternateRefsCommand": "alternates",
    "diff.external": "diffexternal",
    "diff.evil.command": "diffcommand",
    "diff.evil.textconv": "textconv",
    "filter.evil.clean": "clean",
    "filter.evil.smudge": "smudge",
    "filter.evil.process": "process",
    "filter.Other Name.clean": "clean2",
    "merge.evil.driver": "driver",
    "gpg.program": "gpg",
    "gpg.ssh.program": "gpgssh",
    "gpg.ssh.defaultKeyCommand": "gpgkey",
    "credential.helper": "helper",
    "credential.https://example.org.helper": "helper2",
    "remote.origin.receivepack": "receivepack",
    "remote.origin.uploadpack": "uploadpack",
    "uploadpack.packObjectsHook": "packobjects",
    "sequence.editor": "sequence",
    "interactive.diffFilter": "difffilter",
    "trailer.sign.command": "trailer",
    "trailer.sign.cmd": "trailer2",
    "pager.log": "pagerlog",
    "pager.diff": "pagerdiff",
    "alias.status": "!alias",
    "alias.commit": "!alias2",
    "browser.x.cmd": "browser",
    "init.templateDir": "template",
}


def hostile(at: Path, canary: Callable[[str], str]) -> None:
    """Plants everything that could make git run a program into a repository."""
    for name in HOOKS:
        hook = at / ".git" / "hooks" / name
        hook.write_text(Path(canary(f"hook-{name}")).read_text())
        hook.chmod(0o755)
    for setting, name in SETTINGS.items():
        mark = "!" if name.startswith("!") else ""
        sh(at, "config", setting, mark + canary(name.strip("!")))
    for setting, value in {
        "filter.evil.required": "true",
        "commit.gpgSign": "true",
        "tag.gpgSign": "true",
        "push.gpgSign": "if-asked",
        "log.showSignature": "true",
        "user.signingKey": "key::x",
        "gpg.format": "ssh",
        "core.hooksPath": ".git/hooks",
        "trailer.sign.ifmissing": "add",
        "include.path": str(at / "included"),
        "gc.auto": "1",
        "color.ui": "always",
        "diff.submodule": "log",
        "status.submoduleSummary": "true",
        "submodule.recurse": "true",
        "push.recurseSubmodules": "on-demand",
    }.items():
        sh(at, "config", setting, value)
    (at / "included").write_text(f'[filter "third"]\n\tclean = {canary("included")}\n')
    (at / ".gitattributes").write_text(
        '*.txt filter=evil diff=evil merge=evil\n*.two "filter=Other Name"\n*.three filter=third\n'
    )


@pytest.mark.parametrize("way", ["clone", "worktree"])
def test_a_hostile_repository_makes_nothing_run(
    bench: Any, tmp_path: Path, canary: Any, way: str
) -> None:
    at = start(bench)
    bare = remote(at, tmp_path)
    for name in ("b.two", "c.three"):
        (at / name).write_text("x\n")
    sh(at, "add", ".")
    sh(at, "commit", "-q", "-m", "second")
    if way == "worktree":
        main = tmp_path / "main"
        at.rename(main)
        sh(main, "worktree", "add", "-q", "-b", "topic", str(at))
        hostile_at = main
        (at / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    else:
        hostile_at = at
    hostile(hostile_at, canary)
    for name in ("a.txt", "b.two", "c.three"):
        # another content of another time, so that git has to read it, and filter it if it can
        (at / name).write_text("changed\n")
    before = canary.traces()
    assert bench.call(git.status)["files"]
    assert "changed" in bench.call(git.diff)["diff"]
    bench.call(git.diff, ref="HEAD~1")
    bench.call(git.diff, ref="HEAD~1..HEAD")
    assert bench.call(git.log)
    assert bench.call(git.show, ref="HEAD")["text"]
    bench.call(git.show, ref="HEAD:a.txt")
    bench.target(git.commit, message="x")
    bench.preview(git.commit, message="x")
    with pytest.raises(errors.CallFailed, match="filter"):
        bench.call(git.commit, message="x")
    bench.call(git.branch, name="another")
    (at / "plain").write_text("x")
    done = bench.call(git.commit, message="plain", paths=["plain"])
    bench.probe(git.commit, message="plain")
    bench.risk(push.push, remote="origin", branch="another")
    bench.preview(push.push, remote="origin", branch="another")
    bench.call(push.push, remote="origin", branch="another")
    bench.probe(push.push, remote="origin", branch="another")
    sh_quiet = engine.find(at, upward=False)
    assert engine.config_names(sh_quiet)
    assert head(bare, "another") == done["sha"]
    assert canary.traces() == before == []
    # the canaries do sing when git is run as usual
    subprocess.run(["git", "status"], cwd=at, capture_output=True, check=False)
    assert canary.traces()


def test_a_program_runs_under_no_name_whatever_its_bytes(
    bench: Any, tmp_path: Path, canary: Any
) -> None:
    at = start(bench)
    with (at / ".git" / "config").open("ab") as config:
        for section, kinds in {
            "filter": ("clean", "smudge", "process"),
            "diff": ("command", "textconv"),
            "merge": ("driver",),
        }.items():
            config.write(b'[%s "x\xff"]\n' % section.encode())
            for kind in kinds:
                config.write(f"\t{kind} = {canary(f'{section}-{kind}')}\n".encode())
    (at / ".gitattributes").write_bytes(b"*.txt filter=x\xff diff=x\xff merge=x\xff\n")
    (at / "a.txt").write_text("changed\n")
    bench.call(git.status)
    bench.call(git.diff)
    here = engine.find(at, upward=False)
    engine.run(here, "add", "a.txt")
    engine.run(here, "checkout", "--force", "HEAD", "--", "a.txt")
    assert canary.traces() == []
    with pytest.raises(errors.CallFailed, match="There is no remote"):
        bench.call(push.push, remote="no such", branch="main")


@pytest.mark.parametrize("name", ["filter.a=b.clean", "credential.https://x?a=b.helper"])
def test_names_that_cannot_be_switched_off_are_refused(bench: Any, canary: Any, name: str) -> None:
    at = start(bench)
    sh(at, "config", name, canary("equals"))
    (at / ".gitattributes").write_text("*.txt filter=a=b\n")
    (at / "a.txt").write_text("changed\n")
    with pytest.raises(errors.CallFailed, match="cannot be switched off"):
        bench.call(git.status)
    assert canary.traces() == []


def test_a_submodule_is_never_entered(bench: Any, tmp_path: Path, canary: Any) -> None:
    at = start(bench)
    inner = tmp_path / "inner"
    inner.mkdir()
    sh(inner, "init", "-q", "-b", "main")
    (inner / "x.txt").write_text("x\n")
    sh(inner, "add", ".")
    sh(inner, "commit", "-q", "-m", "inner")
    sh(at, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    sh(at, "commit", "-q", "-m", "with a submodule")
    below = at / ".git" / "modules" / "sub"
    sh(at / "sub", "config", "core.fsmonitor", canary("fsmonitor"))
    sh(at / "sub", "config", "filter.evil.clean", canary("clean"))
    (below / "info" / "attributes").write_text("* filter=evil\n")
    (at / "sub" / "x.txt").write_text("changed\n")
    sh(at, "config", "submodule.sub.update", "!" + canary("update"))
    (at / ".gitmodules").write_text(
        (at / ".gitmodules").read_text() + "\tignore = none\n\tupdate = !x\n"
    )
    bench.call(git.status)
    bench.call(git.diff)
    bench.call(git.show, ref="HEAD")
    bench.call(git.commit, message="outside", paths=[".gitmodules"])
    (at / "plain").write_text("x")
    bench.call(git.commit, message="everything")
    assert canary.traces() == []


def test_nothing_is_fetched_behind_ones_back(bench: Any, tmp_path: Path, canary: Any) -> None:
    source = tmp_path / "source"
    source.mkdir()
    sh(source, "init", "-q", "-b", "main")
    (source / "a.txt").write_text("one\n" * 100)
    sh(source, "add", ".")
    sh(source, "commit", "-q", "-m", "first")
    sh(source, "config", "uploadpack.allowFilter", "true")
    at = root(bench)
    at.rmdir()
    sh(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{source}", str(at))
    sh(at, "config", "remote.origin.uploadpack", canary("uploadpack"))
    for function, args in [(git.show, {"ref": "HEAD:a.txt"}), (git.diff, {}), (git.status, {})]:
        try:
            bench.call(function, **args)
        except errors.CallFailed:
            continue
    assert canary.traces() == []


def test_a_work_tree_elsewhere_is_not_read(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_text("private\n")
    sh(at, "config", "core.worktree", str(elsewhere))
    assert bench.call(git.status)["clean"]
    assert "private" not in bench.call(git.diff)["diff"]
    with pytest.raises(errors.CallFailed, match="nothing to commit"):
        bench.call(git.commit, message="x")


def test_a_link_out_is_committed_as_a_link(bench: Any, tmp_path: Path) -> None:
    at = start(bench)
    (tmp_path / "secret").write_text("private")
    (at / "link").symlink_to(tmp_path / "secret")
    (at / "folder").symlink_to(tmp_path)
    bench.call(git.commit, message="x")
    assert sh(at, "show", "HEAD:link") == str(tmp_path / "secret")
    with pytest.raises(errors.CallFailed):
        bench.call(git.commit, message="x", paths=["folder/secret"])


def test_a_bare_repository_in_the_workspace_is_none(bench: Any, canary: Any) -> None:
    at = root(bench)
    sh(at, "init", "-q", "--bare", ".")
    sh(at, "config", "core.fsmonitor", canary("fsmonitor"))
    with pytest.raises(errors.CallFailed, match="not in a git repository"):
        bench.call(git.status)
    assert canary.traces() == []


def test_of_the_operators_config_only_four_things_are_taken(
    bench: Any, person: Path, canary: Any, tmp_path: Path
) -> None:
    at = start(bench)
    remote(at, tmp_path)
    (person / ".gitconfig").write_text(
        "[user]\n name = Pat\n email = pat@example.org\n signingkey = x\n"
        f"[core]\n sshCommand = {canary('ssh')}\n fsmonitor = {canary('fsmonitor')}\n"
        f"[credential]\n helper = {canary('helper')}\n"
        f'[credential "https://example.org"]\n helper = {canary("helper2")}\n'
        f"[commit]\n gpgSign = true\n[gpg]\n program = {canary('gpg')}\n"
        f'[filter "evil"]\n clean = {canary("clean")}\n[core]\n hooksPath = {tmp_path}\n'
    )
    repository = engine.find(at, upward=False)
    assert [name for name, _ in git_config.of_operator(repository.top)] == [
        *("user.name", "user.email", "core.sshcommand", "credential.helper"),
        "credential.https://example.org.helper",
    ]
    (at / ".gitattributes").write_text("* filter=evil\n")
    (at / "a.txt").write_text("changed\n")
    bench.call(git.status)
    bench.call(push.push, remote="origin", branch="main")
    assert canary.traces() == []


def test_the_operators_ssh_command_is_used_and_the_repositorys_is_not(
    bench: Any, person: Path, canary: Any
) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", "git@git.example.org:x.git")
    sh(at, "config", "core.sshCommand", canary("repository"))
    with (person / ".gitconfig").open("a") as config:
        config.write(f"[core]\n sshCommand = {canary('operator', 'exit 1')}\n")
    with pytest.raises((errors.CallFailed, errors.OutcomeUnknown)):
        bench.call(push.push, remote="origin", branch="main")
    assert canary.traces() == ["operator"]


def test_without_the_operators_ssh_command_it_is_plain_ssh(
    bench: Any, canary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(bench)
    sh(at, "remote", "add", "origin", "git@git.example.org:x.git")
    sh(at, "config", "core.sshCommand", canary("repository", "exit 1"))
    programs = tmp_path / "programs"
    programs.mkdir()
    Path(canary("plain", "exit 1")).rename(programs / "ssh")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises((errors.CallFailed, errors.OutcomeUnknown)):
        bench.call(push.push, remote="origin", branch="main")
    assert canary.traces() == ["plain"]


@pytest.mark.parametrize(
    "names",
    [["helper"], ["https://git.example.org.helper"], ["helper", "https://git.example.org.helper"]],
)
def test_the_operators_credential_helper_is_used_and_the_repositorys_is_not(
    person: Path, canary: Any, bench: Any, names: list[str]
) -> None:
    at = start(bench)
    for number, name in enumerate(names):
        sh(at, "config", f"credential.{name}", canary(f"repository{number}"))
    with (person / ".gitconfig").open("a") as config:
        config.write(f'[credential "https://git.example.org"]\n helper = {canary("operator")}\n')
    engine.run(
        engine.find(at, upward=False),
        *("credential", "fill"),
        stdin=b"protocol=https\nhost=git.example.org\n\n",
        network=True,
        ok=(0, 128),
    )
    assert canary.traces() == ["operator"]


def test_the_environment_of_git_is_an_allow_list(
    bench: Any, monkeypatch: pytest.MonkeyPatch, canary: Any
) -> None:
    at = start(bench)
    for name in ("GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS"):
        monkeypatch.setenv(name, canary(name))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", canary("count"))
    (at / "a.txt").write_text("changed\n")
    assert "changed" in bench.call(git.diff)["diff"]
    assert canary.traces() == []


def test_git_that_waits_for_a_remote_dies_with_us(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = start(bench)
    remote(at, tmp_path)
    guarded: dict[str, bool] = {}
    real = engine.process.run

    def run(argv: Any, **more: Any) -> Any:
        asked = ("push", "ls-remote", "rev-parse")
        guarded.update({word: more["guard"] for word in argv if word in asked})
        return real(argv, **more)

    monkeypatch.setattr(engine.process, "run", run)
    bench.call(push.push, remote="origin", branch="main")
    bench.preview(push.push, remote="origin", branch="main")
    assert guarded == {"push": True, "ls-remote": True, "rev-parse": False}


def test_git_that_does_not_end_is_ended(bench: Any, clock: Any) -> None:
    at = start(bench)
    fifo = at / "fifo"
    os.mkfifo(fifo)
    with (at / ".git" / "config").open("a") as config:
        config.write(f"[include]\n\tpath = {fifo}\n")
    real = clock.monotonic

    def later() -> int:
        clock.advance(20)
        return real()

    clock.monotonic = later
    with pytest.raises(errors.CallFailed, match="did not end"):
        bench.call(git.status)
