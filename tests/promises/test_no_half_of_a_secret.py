"""What is shown of a long text is cut from it without its secrets: half of one is known to nobody, and stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alfred.actions import schemas
from alfred.agents import persona
from alfred.engines import base
from alfred.integrations import page, services
from alfred.llm import failures
from alfred.memory import skills
from alfred.memory.skills import Skill
from alfred.trust import redact
from tests.table import table

KEY = "Zq8vT3nLw9Xk2Rb7Yc5Md1"


class Raised(Exception):
    """What a provider's SDK raises."""

    def __init__(self, said: str):
        self.body = {"error": {"message": said}}


def _file(said: str, folder: Path) -> str | None:
    (folder / "SOUL.md").write_text(said)
    return persona.owner_file(folder / "SOUL.md")


def _skill(said: str, folder: Path) -> str:
    return skills._line(Skill("deploy", said, "home", folder, "deploy"), 400)


def _failure(said: str, hide: tuple[str, ...] = ()) -> str:
    return failures.read(Raised(said), provider="x", hide=hide).detail


@table(
    [
        (persona.OWNER_FILE_LIMIT, _file),
        (400, _skill),
        (failures.MAX_DETAIL, lambda said, _: _failure(said)),
        (base.MAX_DETAIL, lambda said, _: base.shown(said)),
        (services.SNIPPET, lambda said, _: services._seen(said, services.SNIPPET, markup=False)[0]),
        (300, lambda said, _: page.read(f"<title>{said}</title>", "https://x.org/")["title"]),
        (80, lambda said, _: page.read(f"<a href='/a'>{said}</a>", "https://x.org/")["links"][0]),
        (98, lambda said, _: str(schemas.problems({"uniqueItems": True}, [said, said]))),
    ]
)
def test_a_secret_that_lies_over_a_cut_is_in_no_part_of_it(
    tmp_path: Path, limit: int, cut: Callable[[str, Path], str | None]
) -> None:
    redact.register(KEY, "KEY")
    told = cut("x" * (limit - 10) + f" {KEY} and more, of which nothing is told" * 9, tmp_path)
    assert told and KEY[:6] not in told


def test_the_key_of_a_request_is_hidden_before_its_failure_is_cut() -> None:
    said = "x" * (failures.MAX_DETAIL - 10) + f" {KEY} and more"
    assert KEY[:6] not in _failure(said, hide=(KEY,))
