"""How much memory there is for us: the machine's, or what the groups of our process are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred.trust import memory

GB = 2**30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("process", "groups", "least"),
    [
        ("0::/a/b\n", {"a/b/memory.max": f"{2 * GB}\n", "a/memory.max": "max\n"}, 2 * GB),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{GB}\n"}, GB),
        ("0::/\n", {"memory.max": f"{GB}\n"}, GB),
        (
            "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n",
            {"memory/box/memory.limit_in_bytes": f"{GB}\n", "box/memory.max": "5\n"},
            GB,
        ),
        ("4:memory:/box\n", {"memory/box/memory.limit_in_bytes": "9223372036854771712\n"}, 64 * GB),
        ("0::/gone\n", {}, 64 * GB),
        ("0::/a\n", {"a/memory.max": "0\n"}, 64 * GB),
    ],
)
def test_the_least_limit_of_all_groups_around_us_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    process: str,
    groups: dict[str, str],
    least: int,
) -> None:
    monkeypatch.setattr(memory, "_physical", lambda: 64 * GB)
    write(tmp_path, {"cgroup": process})
    assert min(memory._allowed(tmp_path / "cgroup", write(tmp_path / "fs", groups))) == least


def test_without_groups_it_is_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_physical", lambda: 64 * GB)
    assert list(memory._allowed(tmp_path / "none", tmp_path)) == [64 * GB]


def test_a_command_gets_half_and_a_folder_in_memory_an_eighth() -> None:
    memory.most.cache_clear()
    assert memory.most() == memory.machine() // 2 > 0
    assert memory.files() == memory.most() // 4


def test_sizes_are_told_as_people_read_them() -> None:
    assert [memory.text(n) for n in (12 * GB + GB // 10, GB, 200 * 2**20)] == [
        *("12.1 GB", "1.0 GB", "200 MB")
    ]
