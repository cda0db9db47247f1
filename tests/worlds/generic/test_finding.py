"""Where worlds are found: modules and files of the current folder, ids that a program registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from reverie.errors import ReverieError
from reverie.worlds.faults import MIGRATION
from reverie.worlds.generic.finding import FAMILIES, REGISTERED, find_id

SOURCE = """
import gymnasium
gymnasium.register("{id}-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of its own, and nothing of it left in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv(REGISTERED, raising=False)
    ids, modules = set(gym.registry), set(sys.modules)
    yield tmp_path
    for name in set(gym.registry) - ids:
        gym.registry.pop(name)
    for name in set(sys.modules) - modules:
        if name.startswith("place"):
            sys.modules.pop(name)


@pytest.mark.parametrize("spelling", ["place{n}", "./place{n}", "place{n}.py", "./place{n}.py", "envs/place{n}"])
def test_modules_and_files_of_the_current_folder(
    spelling: str, elsewhere: Path, request: pytest.FixtureRequest
) -> None:
    number = abs(hash(spelling)) % 10**8
    place = spelling.format(n=number)
    (elsewhere / "envs").mkdir()
    folder = elsewhere / "envs" if place.startswith("envs") else elsewhere
    (folder / f"place{number}.py").write_text(SOURCE.format(id=f"Place{number}"))
    assert find_id("any", f"{place}:Place{number}-v0") == f"Place{number}-v0"


MODULE = "world 'any' names module"
UNIMPORTED = "which cannot be imported"
REFUSED = {
    "./no.py:A-v0": "world 'any' names the file './no.py', which is not there, seen from {here}; give its path",
    ".:A-v0": f"{MODULE} '.', {UNIMPORTED}: TypeError: the 'package' argument is required to perform a relative import "
    "for '.'",
    "placeless:A-v0": f"{MODULE} 'placeless', {UNIMPORTED}: No module named 'placeless'",
    "place_old:A-v0": f"{MODULE} 'place_old', {UNIMPORTED}: AttributeError: module 'numpy' has no attribute 'bool8'; "
    f"that is the old Gym interface, or a package of its time; how to bring it up to date: {MIGRATION}",
    "place_exit:A-v0": f"{MODULE} 'place_exit', {UNIMPORTED}: it called sys.exit(3)",
    "Mine-v9": "unknown world 'any'; if a program of yours registers it, put its class into a module, register it "
    "there, and name it 'module:Mine-v9'; 'reverie worlds' lists them",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_found_is_told_in_one_line(text: str, elsewhere: Path) -> None:
    (elsewhere / "place_old.py").write_text("import numpy as np\nnp.bool8\n")
    (elsewhere / "place_exit.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ReverieError) as caught:
        find_id("any", text)
    assert str(caught.value) == REFUSED[text].format(here=elsewhere)


def test_an_id_that_a_program_registered_is_known_to_its_workers(elsewhere: Path) -> None:
    gym.register("PlaceTold-v0", entry_point=gym.make("CartPole-v1").unwrapped.__class__, max_episode_steps=9)
    assert find_id("PlaceTold-v0", "PlaceTold-v0") == "PlaceTold-v0"
    gym.registry.pop("PlaceTold-v0")  # as in a worker, which gets the environment and not the registry
    assert find_id("PlaceTold-v0", "PlaceTold-v0") == "PlaceTold-v0"
    assert gym.spec("PlaceTold-v0").max_episode_steps == 9


def test_a_class_of_the_main_program_is_refused_in_a_worker_with_what_to_do() -> None:
    kind = type("Mine", (gym.Env,), {"__module__": "__main__"})
    gym.register("PlaceMain-v0", entry_point=kind)
    find_id("PlaceMain-v0", "PlaceMain-v0")
    gym.registry.pop("PlaceMain-v0")
    assert json.loads(os.environ[REGISTERED])["PlaceMain-v0"]["entry_point"] is None
    with pytest.raises(ReverieError) as caught:
        find_id("PlaceMain-v0", "PlaceMain-v0")
    assert str(caught.value) == (
        "world 'PlaceMain-v0' is registered by the program that was started, which workers do not import: put its "
        "class into a module, register it there, and name it 'module:PlaceMain-v0', or play without workers (workers=0)"
    )


def test_a_family_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "Placeholder-", (("json", "placeless"), "placeless.envs", "reverie[atari]"))
    with pytest.raises(ReverieError) as caught:
        find_id("Placeholder-v0", "Placeholder-v0")
    assert str(caught.value) == (
        "world 'Placeholder-v0' needs placeless, which is not installed: pip install 'reverie[atari]'"
    )


def test_the_console_script_finds_what_lies_in_the_current_folder(elsewhere: Path) -> None:
    (elsewhere / "place_cli.py").write_text(SOURCE.format(id="PlaceCli"))
    script = "import sys; sys.path = [entry for entry in sys.path if entry]; from reverie.cli import main; main()"
    words = ["worlds", "--check", "place_cli:PlaceCli-v0"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert "actions    one of 2" in done.stdout
    assert "cap        9 steps" in done.stdout
    assert (elsewhere / "place-cli-PlaceCli-v0.png").read_bytes().startswith(b"\x89PNG")
