"""Where secrets come from, which source wins, and that no message ever repeats one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.trust import redact as redaction
from alfred.trust import secrets
from alfred.trust.redact import redact
from tests.table import table

NAME = "DEPLOY_TOKEN"


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory; with `problem` it is locked."""

    priority = 1  # type: ignore[assignment]

    def __init__(
        self, values: dict[str, str] | None = None, problem: Exception | None = None
    ) -> None:
        super().__init__()
        self.values = values or {}
        self.problem = problem

    def get_password(self, service: str, username: str) -> str | None:
        if self.problem:
            raise self.problem
        assert service == secrets.SERVICE
        return self.values.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing is written into the keyring")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)
    redaction.forget_all()
    yield
    redaction.forget_all()
    keyring.set_keyring(before)


def env_file(home: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = home / ".env"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_the_first_source_that_has_it_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert secrets.get(NAME, home=tmp_path) is None
    env_file(tmp_path, f"{NAME}=from-dotenv-1\n")
    assert secrets.get(NAME, home=tmp_path) == "from-dotenv-1"
    keyring.set_keyring(Ring({NAME: "from-keyring-2"}))
    assert secrets.get(NAME, home=tmp_path) == "from-keyring-2"
    (tmp_path / "file").write_text("from-file-3\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "file"))
    assert secrets.get(NAME, home=tmp_path) == "from-file-3"
    monkeypatch.setenv(NAME, "from-environment-4")
    assert secrets.get(NAME, home=tmp_path) == "from-environment-4"


def test_an_empty_value_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "")
    (tmp_path / "file").write_text("\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "file"))
    keyring.set_keyring(Ring({NAME: ""}))
    env_file(tmp_path, f"{NAME}=\n")
    assert secrets.get(NAME, home=tmp_path) is None
    env_file(tmp_path, f"{NAME}='value-here'\n")
    assert secrets.get(NAME, home=tmp_path) == "value-here"


def test_the_home_is_asked_for_when_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_HOME", str(tmp_path))
    env_file(tmp_path, f"{NAME}=from-the-home\n")
    assert secrets.get(NAME) == "from-the-home"


@pytest.mark.parametrize("source", ["environment", "file", "keyring", ".env"])
def test_every_secret_that_was_read_is_hidden_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    value = "a value nobody would notice"
    if source == "environment":
        monkeypatch.setenv(NAME, value)
    elif source == "file":
        (tmp_path / "file").write_text(value)
        monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "file"))
    elif source == "keyring":
        keyring.set_keyring(Ring({NAME: value}))
    else:
        env_file(tmp_path, f"{NAME}={value}\n")
    assert redact(f"x {value} y") == f"x {value} y"
    assert secrets.get(NAME, home=tmp_path) == value
    assert value not in redact(f"x {value} y")
    assert f"[redacted:{NAME}:" in redact(f"x {value} y")


def test_known_names_are_hidden_before_anybody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SERVICE_PASSWORD", "plain words in the environment")
    monkeypatch.setenv("EDITOR_COMMAND", "my favourite editor")
    env_file(
        tmp_path,
        "OTHER_API_KEY=plain words in the file\nTIMEZONE=Europe/Berlin\nNEXT_PAGE_TOKEN=cursor123\n",
    )
    names = secrets.register_known(home=tmp_path)
    assert {"SOME_SERVICE_PASSWORD", "OTHER_API_KEY"} <= set(names)
    assert not {"EDITOR_COMMAND", "TIMEZONE", "NEXT_PAGE_TOKEN"} & set(names)
    clean = redact(
        "plain words in the environment, plain words in the file, my favourite editor, Europe/Berlin"
    )
    assert "plain words" not in clean
    assert clean.endswith(", my favourite editor, Europe/Berlin")


def test_a_file_that_cannot_be_used_leaves_hidden_what_the_environment_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SERVICE_PASSWORD", "plain words in the environment")
    env_file(tmp_path, "OTHER=x\n").chmod(0o644)
    with pytest.raises(errors.ConfigError, match="mode"):
        secrets.register_known(home=tmp_path)
    assert redact("plain words in the environment").startswith("[redacted:SOME_SERVICE_PASSWORD:")


def test_a_name_that_announces_nothing_is_hidden_when_it_is_said_to_be_a_secret(
    tmp_path: Path,
) -> None:
    env_file(tmp_path, "FORUM=plain words in the file\nZONE=Europe/Berlin\n")
    assert "FORUM" not in secrets.register_known(home=tmp_path)
    assert "FORUM" in secrets.register_known(home=tmp_path, names={"FORUM": ["forum.example"]})
    assert redact("plain words in the file, Europe/Berlin").startswith("[redacted:FORUM:")


# ---- NAME_FILE


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"x" * 70_000])
def test_a_file_that_is_no_secret_is_said_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(path))
    with pytest.raises(errors.ConfigError, match=f"{NAME}_FILE"):
        secrets.get(NAME, home=tmp_path)


@pytest.mark.parametrize("missing", ["missing", "."])
def test_a_file_that_cannot_be_read_is_said_and_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    env_file(tmp_path, f"{NAME}=the-fallback\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / missing))
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        secrets.get(NAME, home=tmp_path)


def test_only_the_line_end_of_a_file_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"  two\nlines \r\n\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "file"))
    assert secrets.get(NAME, home=tmp_path) == "  two\nlines "


# ---- keyring


def test_a_keyring_without_a_backend_is_no_source(tmp_path: Path) -> None:
    keyring.set_keyring(Ring(problem=keyring.errors.NoKeyringError("none")))
    assert secrets.get(NAME, home=tmp_path) is None


def test_a_locked_keyring_matters_only_when_nothing_else_has_it(tmp_path: Path) -> None:
    keyring.set_keyring(Ring(problem=keyring.errors.KeyringLocked("it is locked")))
    with pytest.raises(errors.ConfigError, match="it is locked"):
        secrets.get(NAME, home=tmp_path)
    env_file(tmp_path, f"{NAME}=from-dotenv\n")
    assert secrets.get(NAME, home=tmp_path) == "from-dotenv"


# ---- .env


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o700 | 0o040, 0o601, 0o777])
def test_a_file_that_others_may_open_is_refused_with_the_command_that_helps(
    tmp_path: Path, mode: int
) -> None:
    path = env_file(tmp_path, f"{NAME}=very-secret-value\n", mode)
    with pytest.raises(errors.ConfigError, match=f"{mode:04o}") as caught:
        secrets.get(NAME, home=tmp_path)
    assert caught.value.next == f"Run: chmod 600 {path}"
    assert "very-secret" not in str(caught.value.problem())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_the_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    env_file(tmp_path, f"{NAME}=value-1\n", mode)
    assert secrets.get(NAME, home=tmp_path) == "value-1"


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(f"{NAME}=value-1\n")
    (tmp_path / "real").chmod(0o644)
    (tmp_path / ".env").symlink_to("real")
    with pytest.raises(errors.ConfigError, match="0644"):
        secrets.get(NAME, home=tmp_path)


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path, what: str) -> None:
    path = tmp_path / ".env"
    path.mkdir() if what == "folder" else os.mkfifo(path, 0o600)
    with pytest.raises(errors.ConfigError):
        secrets.get(NAME, home=tmp_path)


def test_what_belongs_to_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = env_file(tmp_path, f"{NAME}=value-1\n")
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1 if owner else 4711)
    if owner == 0:
        os.chown(path, 1234, -1)
    with pytest.raises(errors.ConfigError, match="belongs to the user"):
        secrets.get(NAME, home=tmp_path)


@table(
    [
        ("A=b", "b"),
        ("A = b", "b"),
        ("  A=b  ", "b"),
        ("export A=b", "b"),
        ("export  A=b", "b"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=#nothing", ""),
        ("A=b # comment", "b"),
        ("A=b#no-comment", "b#no-comment"),
        ("A=b c d", "b c d"),
        ("A=b=c==", "b=c=="),
        ("A='b # c'", "b # c"),
        ("A='b' # c", "b"),
        ("A='$HOME \\n'", "$HOME \\n"),
        ('A="b # c"', "b # c"),
        ('A="b\\nc\\td\\"e\\\\f\\$g"', 'b\nc\td"e\\f$g'),
        ('A=""', ""),
        ("A=$HOME", "$HOME"),
        ("A=`id`", "`id`"),
        ("A=it's", "it's"),
        ("A=üñ", "üñ"),
        ("_A1=b", "b"),
    ]
)
def test_a_line_is_read_as_it_is_documented(tmp_path: Path, line: str, value: str) -> None:
    env_file(tmp_path, f"# comment\n\n{line}\r\n   # another\n")
    assert list(secrets.read_env(tmp_path).values()) == [value]


SECRET = "Sup3rS3cretValue"


@table(
    [
        (SECRET, "no NAME=value"),
        (f"export {SECRET}", "no NAME=value"),
        (f"A {SECRET}", "no NAME=value"),
        (f"A: {SECRET}", "no NAME=value"),
        (f"={SECRET}", "the name before ="),
        (f"1A={SECRET}", "the name before ="),
        (f"A-B={SECRET}", "the name before ="),
        (f"Ä={SECRET}", "the name before ="),
        (f"A B={SECRET}", "no NAME=value"),
        (f"A='{SECRET}", "not closed"),
        (f'A="{SECRET}', "not closed"),
        (f'A="{SECRET}\\"', "not closed"),
        (f"A='x'{SECRET}", "after the closing quote"),
        (f'A="x" {SECRET}', "after the closing quote"),
        (f'A="{SECRET}\\q"', "unknown escape"),
        (f"A={SECRET}\0", "control character"),
        (f"A={SECRET}\x1b[2J", "control character"),
        (f"B={SECRET}", "a second time (first on line 1)"),
    ]
)
def test_a_wrong_line_is_named_and_never_repeated(tmp_path: Path, line: str, why: str) -> None:
    path = env_file(tmp_path, f"B=1\n\n{line}\n")
    with pytest.raises(errors.ConfigErrors) as caught:
        secrets.read_env(tmp_path)
    assert why in str(caught.value)
    assert f"{path}:3" in str(caught.value)
    assert SECRET not in str(caught.value.problem())
    assert [problem.field for problem in caught.value.errors] == [f"{path}:3"]


def test_all_wrong_lines_are_reported_at_once(tmp_path: Path) -> None:
    env_file(tmp_path, "A=1\nnonsense\nA=2\nB='x\n")
    with pytest.raises(errors.ConfigErrors) as caught:
        secrets.read_env(tmp_path)
    assert [problem.field.rpartition(":")[2] for problem in caught.value.errors] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("content", "why"), [(b"A=1\nB=\xff\n", ":2"), (b"A=" + b"x" * 70_000, "larger")]
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    env_file(tmp_path, content)
    with pytest.raises(errors.ConfigError, match=why):
        secrets.read_env(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    env_file(tmp_path, b"\xef\xbb\xbfA=1\n")
    assert secrets.read_env(tmp_path) == {"A": "1"}


@given(st.text(st.characters(exclude_characters="\0\x7f", exclude_categories=("Cs", "Cc"))))
def test_any_value_can_be_written_in_double_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert secrets._assignment(f'A="{escaped}"') == ("A", value)


@pytest.mark.parametrize("name", ["", "A-B", "A B", "A=B", "../x", "A\0", "1A"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.UsageError):
        secrets.get(name, home=tmp_path)
