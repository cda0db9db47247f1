from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from reverie.episodes.config import POLICIES, CollectConfig, needed_bytes, require_space
from reverie.episodes.manifest import Entry
from reverie.episodes.policies import MAKERS
from reverie.errors import ReverieError

NAMES = "uniform, held, turning, long-held, sweep, brownian, random-network"
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"episodes": 0}, "collect.episodes is 0, expected a whole number, 1 or more"),
    ({"episodes": 2.5}, "collect.episodes is 2.5, expected a whole number, 1 or more"),
    ({"episodes": True}, "collect.episodes is True, expected a whole number, 1 or more"),
    ({"max_steps": 0}, "collect.max_steps is 0, expected a whole number, 1 or more"),
    ({"min_steps": -1}, "collect.min_steps is -1, expected a whole number, 0 or more"),
    ({"min_steps": 101}, "collect.min_steps is 101, expected at most max_steps, which is 100"),
    ({"policies": ()}, f"collect.policies is [], expected names out of {NAMES}"),
    ({"policies": ("held", "hold")}, f"collect.policies is ['held', 'hold'], expected names out of {NAMES}"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_a_value_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        CollectConfig(**({"episodes": 10, "max_steps": 100} | changes))
    assert str(error.value) == f"{message}; change it in the configuration"


def test_every_name_makes_a_policy() -> None:
    assert tuple(MAKERS) == POLICIES
    CollectConfig(episodes=1, max_steps=5, min_steps=5, policies=POLICIES)


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
