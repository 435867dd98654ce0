"""Changing config.yaml: only the words that must change do, and a file is never left half or wrong."""

from __future__ import annotations

import difflib
import errno
import itertools
import json
import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alfred import config, config_edit, config_splice, config_text, errors
from alfred import home as places
from tests.table import table

TEXT = """\
# head
alfred: 1   # one
timezone: Europe/Berlin            # [d] x

model: auto
"provider": 'x'
models:
reasoning: ~
sandbox: 'off'   # on purpose
policy:
  mode: gated                      # [d]
  rules:
    - {action: "world.*", mode: autonomous}            # [e]
    - agent: ops
      mode: off   # never
  # the end of policy
limits: {concurrent_runs: 8, per_agent: 2,
         turns: 60}
personality: |
  text
    more

agents:
    coder:
        model: a:b   # wide
        tools:
        - x
        - y

    # next one
    ops: {}
    last:
# the end
"""


@pytest.fixture
def file(home: Path) -> Path:
    """A config.yaml with many layouts in it."""
    home.mkdir()
    (home / "config.yaml").write_text(TEXT)
    return home / "config.yaml"


def changed(file: Path, before: str = TEXT) -> list[str]:
    """The lines that went (`-`), then those that came (`+`)."""
    after = file.read_bytes().decode()
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    lines = [line for line in list(found)[2:] if not line.startswith("@@")]
    return sorted((line for line in lines if line[1:]), key=lambda line: line[0] == "+")


EDITS: list[tuple[str, Any, list[str]]] = [
    ("model", "openai:x", ["-model: auto", "+model: openai:x"]),
    ("model", "off", ["-model: auto", '+model: "off"']),
    ("model", "0123", ["-model: auto", '+model: "0123"']),
    ("model", "a # b", ["-model: auto", '+model: "a # b"']),
    ("provider", "y", ["-\"provider\": 'x'", '+"provider": "y"']),
    ("provider", "null", ["-\"provider\": 'x'", '+"provider": null']),
    ("provider", None, ["-\"provider\": 'x'", '+"provider": null']),
    (
        "timezone",
        "UTC",
        ["-timezone: Europe/Berlin            # [d] x", "+timezone: UTC            # [d] x"],
    ),
    ("models.helper", "a:b", ["-models:", "+models: {helper: a:b}"]),
    ("models.fallback", "[a, 'b c']", ["-models:", '+models: {fallback: [a, "b c"]}']),
    ("reasoning", "high", ["-reasoning: ~", "+reasoning: high"]),
    ("reasoning", "{effort: 3}", ["-reasoning: ~", "+reasoning: {effort: 3}"]),
    ("sandbox", "auto", ["-sandbox: 'off'   # on purpose", "+sandbox: auto   # on purpose"]),
    (
        "policy.mode",
        "off",
        ["-  mode: gated                      # [d]", '+  mode: "off"                      # [d]'],
    ),
    ("limits.turns", "80", ["-         turns: 60}", "+         turns: 80}"]),
    ("limits.turns", 80, ["-         turns: 60}", "+         turns: 80}"]),
    ("limits.depth", "1", ["-         turns: 60}", "+         turns: 60, depth: 1}"]),
    (
        "limits.run_wall_clock",
        "90m",
        ["-         turns: 60}", "+         turns: 60, run_wall_clock: 90m}"],
    ),
    ("personality", "brief", ["-personality: |", "-  text", "-    more", "+personality: brief"]),
    ("agents.coder.model", "c", ["-        model: a:b   # wide", "+        model: c   # wide"]),
    (
        "agents.coder.tools",
        "[z]",
        ["-        tools:", "-        - x", "-        - y", "+        tools: [z]"],
    ),
    ("agents.coder.max_turns", "5", ["+        max_turns: 5"]),
    ("agents.ops.model", "c", ["-    ops: {}", "+    ops: {model: c}"]),
    ("agents.last.model", "c", ["-    last:", "+    last: {model: c}"]),
    ("agents.new", {"model": "x:y", "default": True}, ["+    new: {model: x:y, default: true}"]),
    ("budget.per_run_usd", "0.50", ["+budget: {per_run_usd: 0.5}"]),
    ("budget.per_run_usd", Decimal("0.000001"), ["+budget: {per_run_usd: 0.000001}"]),
    (
        "budget.per_agent.ops.turns_per_day",
        "3",
        ["+budget:", "+  per_agent: {ops: {turns_per_day: 3}}"],
    ),
    ("memory_enabled", "false", ["+memory_enabled: false"]),
    ("memory_enabled", False, ["+memory_enabled: false"]),
    ("trust.workspaces", ["/srv/a b"], ['+trust: {workspaces: ["/srv/a b"]}']),
    ("approvals.quiet_hours", "22:00-07:00", ['+approvals: {quiet_hours: "22:00-07:00"}']),
    ("channels", "{notify: ['ntfy://x']}", ["+channels: {notify: [ntfy://x]}"]),
]


@pytest.mark.parametrize(("key", "value", "lines"), EDITS, ids=[f"{e[0]}={e[1]}" for e in EDITS])
def test_an_edit_changes_only_the_words_it_must(
    home: Path, file: Path, key: str, value: Any, lines: list[str]
):
    given = config_edit.edit(home, key, value)
    assert changed(file) == lines
    assert given.model_dump() == config.load(home, {}).model_dump()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_value_again_changes_nothing(home: Path, file: Path):
    config_edit.edit(home, "model", "auto")
    config_edit.edit(home, "limits.turns", "60")
    assert file.read_text() == TEXT


def test_a_key_with_a_dot_is_given_by_its_parts(home: Path, file: Path):
    config_edit.edit(home, ["agents", "a.b", "model"], "x")
    assert changed(file) == ["+    a.b: {model: x}"]


@pytest.mark.parametrize(
    "text",
    [
        "alfred: 1\r\nlimits:\r\n  turns: 5\r\n# x\r\n",
        "\ufeffalfred: 1\r\nlimits: {turns: 5}\r\n",
        "alfred: 1\r\n",
    ],
)
def test_line_ends_stay_as_they_are(home: Path, text: str):
    home.mkdir()
    (home / "config.yaml").write_bytes(text.encode())
    config_edit.edit(home, "limits.depth", "1")
    after = (home / "config.yaml").read_bytes()
    assert after.count(b"\n") == after.count(b"\r\n")
    assert config.load(home, {}).limits.depth == 1


LAYOUTS = [
    "alfred: 1",
    "{alfred: 1}\n",
    "{alfred: 1,}\n",
    "--- \nalfred: 1\n...\n",
    "--- {alfred: 1}\n",
    "alfred: 1\nlimits:",
    "alfred: 1\nlimits: # none\n",
    "alfred: 1\nlimits:   # none\n# more\n\n",
    "alfred: 1\nlimits: {}\n",
    "alfred: 1\nlimits: { }\n",
    "alfred: 1\nlimits: {\n}\n",
    "alfred: 1\nlimits: {\n  depth: 2,   # two\n}\n",
    "alfred: 1\nlimits:\n# c\n  depth: 2\n# d\n\n\n",
    "alfred: 1\nlimits:\n        depth: 2",
    "? alfred\n: 1\n",
    "alfred: 1\n'limits':\n  'depth': '2'\n",
    "alfred: 1\npersonality: |\n  x\n",
    "alfred: 1\npersonality: >-\n  x\n\n\n  y\n\n# c\n",
    "alfred: 1\npersonality: |+\n  x\n\n\n",
    "alfred: 1\npersonality: 'a\n  b'\n",
    "alfred: 1\npersonality: a\n  b\n",
    "alfred: 1\nbindings:\n- a\n-\n",
    "alfred: 1\nbindings:\n- - a\n  - b: 1\n    c:\n",
    "alfred: 1\nagents:\n  a:\n  b:\n",
    "alfred: 1 # é😀\nmodel: é😀\n",
    "alfred: 1\nlimits: &l {depth: 2}\n",
    "alfred: !!int 1\n",
    "%YAML 1.2\n---\nalfred: 1\n",
    "# nothing yet\nalfred: 1\n# to come",
]


@table(list(itertools.product(LAYOUTS, ["limits.turns", "model", "limits.depth", "personality"])))
@pytest.mark.slow
def test_every_layout_is_edited_or_told_to_edit_by_hand(home: Path, text: str, key: str):
    home.mkdir(exist_ok=True)
    file = home / "config.yaml"
    file.write_bytes(text.encode())
    value = "7" if key.startswith("limits") else "new"
    before = config_text.parse(text, "x").tree
    (home / places.MARKER).touch()
    try:
        config_edit.edit(home, key, value)
    except errors.ConfigError as wrong:
        assert "by hand" in str(wrong.next)
        assert file.read_bytes() == text.encode()
        assert "&l" in text or "|+" in text
        return
    after = config_text.parse(file.read_bytes().decode(), "x").tree
    assert after == config_edit._put(before, tuple(key.split(".")), value)
    for comment in [line for line in text.splitlines() if "#" in line]:
        assert comment.partition("#")[2] in file.read_text()


def test_what_an_alias_stands_for_is_not_changed_by_accident(home: Path):
    home.mkdir()
    text = "alfred: 1\nagents:\n  a: &x {model: m}\n  b: *x\n"
    (home / "config.yaml").write_text(text)
    for key in ("agents.b.model", "agents.a.model"):
        with pytest.raises(errors.ConfigError, match="as that is laid out"):
            config_edit.edit(home, key, "n")
    assert (home / "config.yaml").read_text() == text


RULE = {"action": "git.push", "args": {"branch": {"below": "on"}}, "mode": "autonomous"}
WRITTEN = '{action: git.push, args: {branch: {below: "on"}}, mode: autonomous}'


@table(
    [
        ("alfred: 1\n", "policy: {rules: [RULE]}\n"),
        ("alfred: 1\npolicy:\n", "policy: {rules: [RULE]}\n"),
        ("alfred: 1\npolicy: {mode: gated} # c\n", "policy: {mode: gated, rules: [RULE]} # c\n"),
        ("alfred: 1\npolicy:\n  rules: []  # c\n", "  rules: [RULE]  # c\n"),
        ("alfred: 1\npolicy:\n  rules:   # c\n", "  rules: [RULE]   # c\n"),
        (
            "alfred: 1\npolicy: {rules: [{agent: a, mode: off} ]} # c",
            "policy: {rules: [{agent: a, mode: off}, RULE ]} # c",
        ),
        (
            "alfred: 1\npolicy:\n  rules:\n  # b\n  - agent: a  # c\n    mode: off # d\n# e\n",
            "    mode: off # d\n  - RULE\n# e\n",
        ),
        (
            "alfred: 1\r\npolicy:\r\n  rules:\r\n    - {agent: a, mode: off}",
            "    - {agent: a, mode: off}\r\n    - RULE",
        ),
    ]
)
def test_an_item_is_added_to_a_list_and_every_other_letter_stays(
    home: Path, before: str, after: str
):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_bytes(before.encode())
    given = config_edit.append(home, ("policy", "rules"), RULE)
    text = (home / "config.yaml").read_bytes().decode()
    end = after.replace("RULE", WRITTEN)
    assert text.endswith(end), text
    assert set(text.replace(WRITTEN, "").splitlines()) >= set(before.splitlines()[:-1]) - {
        "policy:"
    }
    assert given.policy.rules[-1].args == {"branch": {"below": "on"}}
    assert given.policy.rules == config.load(home, {}).policy.rules


@table(
    [
        ("alfred: 1\npolicy: {rules: 5}\n", RULE),
        ("alfred: 1\npolicy: {rules: [\n", RULE),
        ("alfred: 1\na: &x []\npolicy: {rules: *x}\n", RULE),
        ("alfred: 1\n", {"action": "git.*", "free": ["x"], "mode": "autonomous"}),
        ("alfred: 1\n", {"action": "git.push", "free": ["x"], "mode": "off"}),
        ("alfred: 1\n", RULE | {"args": {"x": {"above": "y"}}}),
        ("alfred: 1\n", RULE | {"until": "tomorrow"}),
    ]
)
def test_what_is_wrong_with_an_item_or_its_list_changes_nothing(
    home: Path, text: str, item: dict[str, Any]
):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(text)
    with pytest.raises(errors.ConfigError):
        config_edit.append(home, ("policy", "rules"), item)
    assert (home / "config.yaml").read_text() == text


REMOVED: list[tuple[str, str, list[str] | None]] = [
    ("agents.ops", TEXT, ["-    # next one", "-    ops: {}"]),
    ("agents.last", TEXT, ["-    last:"]),
    (
        "agents.coder",
        TEXT,
        [
            "-    coder:",
            "-        model: a:b   # wide",
            "-        tools:",
            "-        - x",
            "-        - y",
        ],
    ),
    (
        "limits.turns",
        TEXT,
        [
            "-limits: {concurrent_runs: 8, per_agent: 2,",
            "-         turns: 60}",
            "+limits: {concurrent_runs: 8, per_agent: 2}",
        ],
    ),
    (
        "limits.concurrent_runs",
        TEXT,
        ["-limits: {concurrent_runs: 8, per_agent: 2,", "+limits: {per_agent: 2,"],
    ),
    ("personality", TEXT, ["-personality: |", "-  text", "-    more"]),
    ("provider", TEXT, ["-\"provider\": 'x'"]),
    ("sandbox", TEXT, ["-sandbox: 'off'   # on purpose"]),
    ("agents.a", "alfred: 1\nagents: {a: , b: 1}\n", ["-agents: {a: , b: 1}", "+agents: {b: 1}"]),
    ("agents.b", "alfred: 1\nagents: {a: , b: }\n", ["-agents: {a: , b: }", "+agents: {a: }"]),
    ("agents.b", "alfred: 1\nagents: {a: , b: 1}\n", ["-agents: {a: , b: 1}", "+agents: {a: }"]),
    (
        "agents.a",
        "alfred: 1\nagents: {a: {b: c}} # x\n",
        ["-agents: {a: {b: c}} # x", "+agents: {} # x"],
    ),
    ("agents.a", "alfred: 1\nagents:   # x\n  # y\n  a: 1\n# z", ["-  a: 1", "+  {}"]),
    ("agents.a", "alfred: 1\nagents:\n  # y\n  a: 1\n  b: 2\n", ["-  a: 1"]),
    (
        "agents.b",
        "alfred: 1\nagents:\n  a: {c: 1,\n  # x\n  d: 2}\n    # of a\n\n  # of b\n  # too\n  b: 1\n  # z\n",
        ["-  # of b", "-  # too", "-  b: 1"],
    ),
    ("model", "# x\nalfred: 1\n# y\nmodel: a:b\n", ["-# y", "-model: a:b"]),
    (
        "agents.a",
        "alfred: 1\nagents:\n  a:\n    b: 1",
        ["-agents:", "-  a:", "-    b: 1", "+agents: {}"],
    ),
    (
        "agents.a",
        "alfred: 1\nagents: {a: 1, # x\n b: 2}\n",
        ["-agents: {a: 1, # x", "+agents: { # x"],
    ),
    ("agents.b", "alfred: 1\nagents: {a: 1, # x\n b: 2}\n", ["- b: 2}", "+ }"]),
    ("agents.a", "alfred: 1\nagents:\n  a: &x {m: 1}\n  b: *x\n", None),
    ("agents.b", "alfred: 1\nagents:\n  a: &x {m: 1}\n  b: *x\n", None),
    ("agents.a", "alfred: 1\nagents:\n  ? a\n  : 1\n  ? b\n  : 2\n", None),
    ("agents.c", "alfred: 1\nagents: {a: 1}\n", None),
    ("alfred", "{alfred: 1}\n", None),
    ("nothing.at.all", TEXT, None),
]


@table(REMOVED)
def test_a_key_is_taken_out_and_every_other_line_stays(
    home: Path, key: str, text: str, lines: list[str] | None
):
    home.mkdir(exist_ok=True)
    file = home / "config.yaml"
    file.write_text(text)
    if lines is None:
        with pytest.raises(errors.ConfigError, match="cannot be taken out") as wrong:
            config_edit.remove(home, key.split("."))
        assert "by hand" in str(wrong.value.next)
        assert file.read_text() == text
        return
    given = config_edit.remove(home, key.split("."))
    assert changed(file, text) == lines
    assert given.model_dump() == config.load(home, {}).model_dump()


def test_a_key_that_is_needed_stays(home: Path, file: Path):
    def missing(tree: Any) -> list[config_text.Finding]:
        return [] if "ops" in tree["agents"] else [config_text.Finding(("agents",), "needs ops")]

    with pytest.raises(errors.ConfigError, match="needs ops"):
        config_edit.remove(home, ("agents", "ops"), check=missing)
    assert file.read_text() == TEXT


# ---- what is refused

REFUSED: list[tuple[str, Any, str]] = [
    ("limits.turn", "5", "limits.turn: is no setting, did you mean turns?"),
    ("modle", "x", "modle: is no setting, did you mean model?"),
    ("limits.turns.x", "5", "limits.turns: must be a whole number"),
    ("policy.rules.0", "{mode: off}", "policy.rules: must be a list"),
    ("", "x", "''"),
    ("limits.", "x", "limits"),
    ("limits.turns", "many", "limits.turns: must be a whole number"),
    ("limits.turns", None, "limits.turns: must be a whole number"),
    ("limits.turns", "5\nmodel: x", "limits.turns: must be a whole number"),
    ("limits", "5", "limits: must be keys with values"),
    ("model", "a\nb", "model: must be one line"),
    ("model", "a\0", "model: "),
    ("model", "\ud800", "model: "),
    ("models.fallback", "[a", "models.fallback: no proper YAML"),
    ("models.fallback", "[a]\nmodel: x", "models.fallback: must be one value"),
    ("models.fallback", "[a]\n---\nx: y", "models.fallback: no proper YAML"),
    ("models.fallback", ["a\0"], "models.fallback[0]: the character NUL"),
    ("models.fallback", ["\ud800"], "models.fallback[0]: the character U+D800"),
    (
        "timezone",
        "Europe/Berln",
        "timezone: no timezone has this name, did you mean Europe/Berlin?",
    ),
    ("database", "mysql://me:sk-x@h", "database: must be sqlite"),
    ("alfred", "2", "alfred: must be 1"),
    ("agents", "[a]", "agents: must be names"),
    ("agents.a", "*x", "agents.a: no proper YAML"),
    ("agents.a", "!x y", "agents.a: a tag"),
]


@table(REFUSED)
def test_a_wrong_edit_is_refused_and_the_file_stays(
    home: Path, file: Path, key: str, value: Any, said: str
):
    with pytest.raises(errors.ConfigError) as wrong:
        config_edit.edit(home, key, value)
    assert said in str(wrong.value)
    assert "Nothing was changed" in str(wrong.value.next)
    assert "config.yaml:" not in str(wrong.value).replace(
        "config.yaml: ", ""
    )  # it is in no line yet
    assert "sk-x" not in str(wrong.value)
    assert file.read_text() == TEXT
    assert not [p.name for p in home.iterdir() if p.name.startswith(".config")]


@pytest.mark.parametrize(
    "text", ["alfred: 1\nmodel: [\n", "alfred: 1\na: 1\na: 2\n", "alfred: 1\nlimits: {turns: 0}\n"]
)
def test_a_file_that_is_wrong_elsewhere_is_not_edited(home: Path, text: str):
    home.mkdir()
    (home / "config.yaml").write_text(text)
    with pytest.raises(errors.ConfigError):
        config_edit.edit(home, "model", "x")
    assert (home / "config.yaml").read_text() == text


def test_an_edit_can_set_right_what_is_wrong(home: Path):
    home.mkdir()
    (home / "config.yaml").write_text("alfred: 1\nlimits: {turns: 0}   # none\n")
    config_edit.edit(home, "limits.turns", "1")
    assert (home / "config.yaml").read_text() == "alfred: 1\nlimits: {turns: 1}   # none\n"


def test_a_home_of_another_product_is_not_edited(home: Path):
    home.mkdir()
    (home / "config.yaml").write_text("model: x\n")
    for change in (
        lambda: config_edit.edit(home, "model", "y"),
        lambda: config_edit.write_default(home),
    ):
        with pytest.raises(errors.HomeRefused):
            change()
    assert [p.name for p in home.iterdir()] == ["config.yaml"]


def test_a_variable_of_the_environment_does_not_get_into_the_file(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALFRED_MODEL", "from:env")
    monkeypatch.setenv("ALFRED_LIMITS__TURNS", "wrong")
    assert config_edit.edit(home, "provider", "y").model == "auto"


# ---- the file itself


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if call == "write":
            real = os.fdopen

            def opened(handle: int, how: str = "r", *args: Any, **kwargs: Any) -> Any:
                stream = real(handle, how, *args, **kwargs)
                if "w" in how:
                    patched.setattr(stream, "write", full)
                return stream

            patched.setattr(os, "fdopen", opened)
        elif call == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "replace", full)
        with pytest.raises(errors.ConfigError, match="no space left"):
            config_edit.edit(home, "model", "x")
    assert file.read_text() == TEXT
    assert not [p.name for p in home.iterdir() if p.name.startswith(".config")]


def test_a_link_stays_a_link(home: Path, tmp_path: Path):
    home.mkdir()
    real = tmp_path / "dotfiles.yaml"
    real.write_text(TEXT)
    (home / "config.yaml").symlink_to(real)
    config_edit.edit(home, "model", "x:y")
    assert (home / "config.yaml").is_symlink()
    assert "model: x:y" in real.read_text()


def test_a_missing_file_is_begun(home: Path):
    config_edit.edit(home, "limits.turns", "5")
    assert (home / "config.yaml").read_text() == "alfred: 1\nlimits: {turns: 5}\n"


# Another process, which says when it is ready and waits for a line.
EDIT = """
import sys
from pathlib import Path
from alfred import config_edit
print("ready", flush=True)
sys.stdin.readline()
home, number = sys.argv[1:]
config_edit.edit(Path(home), ["agents", f"a{number}"], {"model": f"m{number}"})
"""


@pytest.mark.parametrize("how", ["edit", "append"])
def test_what_a_person_saves_meanwhile_is_kept(home: Path, file: Path, how: str):
    file.write_text("alfred: 1\n")
    saved: list[str] = []

    def check(_: object) -> list[config_text.Finding]:
        if len(saved) < 3:
            saved.append(f"# their word {len(saved)}\n")
            file.write_text(file.read_text() + saved[-1])
        return []

    if how == "edit":
        config_edit.edit(home, "limits.turns", 7, check=check)
    else:
        rule = {"action": "files.write", "mode": "off"}
        config_edit.append(home, ("policy", "rules"), rule, check=check)
    said = file.read_text()
    assert all(line in said for line in saved) and ("turns: 7" in said or "files.write" in said)


def test_a_file_that_is_saved_again_and_again_is_left_alone(home: Path, file: Path):
    file.write_text("alfred: 1\n")

    def check(_: object) -> list[config_text.Finding]:
        file.write_text(file.read_text() + "#\n")
        return []

    with pytest.raises(errors.ConfigError, match="again and again"):
        config_edit.edit(home, "limits.turns", 7, check=check)
    assert "turns" not in file.read_text()


LOCKED = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waits")
"""


def test_another_process_waits_while_one_edits(home: Path, file: Path):
    said: list[str] = []

    def check(_: object) -> list[config_text.Finding]:
        command = [sys.executable, "-S", "-c", LOCKED, str(home / "config.yaml.lock")]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return []

    config_edit.edit(home, "limits.turns", 7, check=check)
    assert said and set(said) == {"waits\n"}


@pytest.mark.slow
def test_edits_at_once_are_all_kept(home: Path, file: Path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", EDIT, str(home), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    found = config.load(home, {}).agents
    assert {f"a{n}": {"model": f"m{n}"} for n in range(4)}.items() <= found.items()


# ---- the first file


def test_the_first_file_is_private_commented_and_gives_the_defaults(home: Path):
    assert config_edit.write_default(home)
    file = home / "config.yaml"
    text = file.read_text()
    assert text.startswith("# yaml-language-server: $schema=config.schema.json\n")
    assert "\nalfred: 1\n" in text
    assert config.load(home, {}).model_dump() == config.Settings().model_dump()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads((home / "config.schema.json").read_text()) == config.json_schema()
    assert places.check(home)


def test_the_first_file_takes_what_setup_asked_for(home: Path):
    config_edit.write_default(home, {"model": "openai:gpt", "database": "postgresql://h/x"})
    found = config.load(home, {})
    assert (found.model, found.database) == ("openai:gpt", "postgresql://h/x")
    assert "model: openai:gpt   # the first that" in (home / "config.yaml").read_text()


def test_a_wrong_value_for_the_first_file_writes_none(home: Path):
    with pytest.raises(errors.ConfigError):
        config_edit.write_default(home, {"model": "x", "limits.turns": "0"})
    assert not (home / "config.yaml").exists()


def test_a_file_that_is_there_is_left_alone(home: Path, file: Path):
    assert not config_edit.write_default(home, {"model": "x"})
    assert file.read_text() == TEXT
    assert (home / "config.schema.json").exists()


def test_the_schema_is_written_only_when_it_changed(home: Path):
    config_edit.write_default(home)
    schema = home / "config.schema.json"
    before = schema.stat().st_ino
    config_edit.write_schema(home)
    assert schema.stat().st_ino == before
    schema.write_bytes(b"\xff")
    config_edit.write_schema(home)
    assert json.loads(schema.read_text()) == config.json_schema()


def test_a_tenant_has_a_file_of_its_own(home: Path):
    config_edit.write_default(home)
    assert config_edit.write_default(home, tenant="ops")
    config_edit.edit(home, "model", "x:y", tenant="ops")
    assert config.load(home, {}, tenant="ops").model == "x:y"
    assert config.load(home, {}).model == "auto"
    with pytest.raises(errors.ConfigError, match="all tenants share it"):
        config_edit.edit(home, "server.port", "1", tenant="ops")
    assert (home / "tenants/ops/config.schema.json").exists()


# ---- properties

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    plain,
    st.sampled_from(["on", "null", "~", "- x", "a: b", "#", "{", "&a", "0123", "1e3", "y"]),
)
value = st.recursive(
    scalar,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(plain, inner, max_size=3)),
    max_leaves=6,
)
key = st.one_of(st.sampled_from(["coder", "ops", "last", "model", "tools", "new"]), plain)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(edits=st.lists(st.tuples(st.lists(key, min_size=1, max_size=3), value), max_size=4))
@pytest.mark.slow
def test_any_edits_give_what_they_say_and_keep_every_comment(
    tmp_path: Path, edits: list[tuple[list[str], Any]]
):
    file = tmp_path / "config.yaml"
    (tmp_path / places.MARKER).touch()
    text = TEXT.replace("# wide", "").replace(
        "# next one", ""
    )  # they may go with what they are about
    file.write_text(text)
    for path, new in edits:
        before = config_text.parse(file.read_bytes().decode(), "x").tree
        try:
            config_edit.edit(tmp_path, ["agents", *path], new)
        except errors.ConfigError as wrong:
            assert config_text.parse(file.read_bytes().decode(), "x").tree == before
            assert wrong.next
            continue
        after = config_text.parse(file.read_bytes().decode(), "x").tree
        at: Any = config_text.resolve(after)["agents"]
        for part in path:
            at = at[part]
        assert at == config_text.resolve(
            config_text.parse(
                f"v: {new if isinstance(new, str) else config_splice.yaml_text(new)}", "x"
            ).tree["v"]
        )
        unchanged = {k: v for k, v in before.items() if k != "agents"}
        assert unchanged == {k: v for k, v in after.items() if k != "agents"}
    kept = file.read_bytes().decode()
    for comment in (
        "# head",
        "# one",
        "# [d] x",
        "# on purpose",
        "# never",
        "# the end of policy",
        "# the end",
    ):
        assert comment in kept
