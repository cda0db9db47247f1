from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from reverie.episodes.config import CollectConfig
from reverie.episodes.disk import needed_bytes, require_space
from reverie.episodes.manifest import Entry
from reverie.errors import ReverieError

Usage = namedtuple("Usage", "total used free")


def entries(count: int) -> list[Entry]:
    return [Entry(i, "e", 3000, "", 7, 1.5, 12, "held", True) for i in range(count)]


@pytest.mark.parametrize(
    ("world", "max_steps", "min_steps", "present", "expected"),
    [
        ("doom", 2100, 100, 0, 501 * 4000),
        ("doom", 300, 100, 0, 301 * 4000),
        ("doom", 2100, 900, 0, 901 * 4000),
        ("doom-skill-5", 2100, 0, 0, 201 * 4000),
        ("doom-skill-5-repeat-4", 2100, 0, 0, 51 * 4000),
        ("doom-skill-1-repeat-4", 2100, 0, 0, 526 * 4000),
        ("doom-skill-1", 2100, 0, 0, 2101 * 4000),
        ("carracing", 1000, 0, 0, 1001 * 800),
        ("carracing-envpool", 1000, 0, 0, 1001 * 800),
        ("SomeWorld-v0", 500, 0, 0, 501 * 8000),
        ("doom", 2100, 100, 19, 501 * 4000),
        ("doom", 2100, 100, 20, 3000),
    ],
)
def test_the_need_is_told_by_the_world_and_then_by_the_store(
    world: str, max_steps: int, min_steps: int, present: int, expected: int
) -> None:
    config = CollectConfig(1000, max_steps, min_steps)
    assert needed_bytes(world, 100, config, entries(present)) == int(100 * expected * 1.1)


def test_a_disk_that_is_too_small_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(10**12, 0, 3_100_000_000))
    folder = tmp_path / "runs" / "doom" / "rollouts"
    require_space(folder, "doom", 10_000, 3_100_000_000)
    with pytest.raises(ReverieError) as error:
        require_space(folder, "doom", 10_000, 22_040_000_000)
    assert str(error.value) == (
        f"collecting 10,000 episodes of doom needs about 22 GB, but {folder} has 3.1 GB free; "
        "free some space, collect fewer episodes or choose another folder"
    )
    assert asked == [tmp_path, tmp_path]
    assert not folder.exists()
