"""A run whose C is evolved under guards: several Ms are trained, and the search runs in the guarded dream."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reverie.errors import ReverieError
from reverie.learning.arena import open_guarded
from reverie.files.checkpoint import latest_checkpoint
from reverie.memory.train import load_memory
from reverie.runs import stages
from reverie.recipe.experiment import require_fit
from reverie.runs.opening import arena_of, load_params, under_guards
from reverie.recipe.presets import make_experiment
from reverie.runs.run_folder import create_run
from reverie.settings import with_changes
from reverie.worlds.registry import world_spec
from tests.recipe.test_rounds import small

GUARDS = [
    *("--guards.dropout", "0.2", "--guards.members", "2", "--guards.doubt", "0.5"),
    *("--guards.starts", "anywhere", "--guards.steps", "5"),
]


def test_a_guarded_run_trains_every_member_in_each_round(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "run", small(*GUARDS, "--rounds.count", "1"))
    for stage in ("collect", "vision", "memory"):
        getattr(stages, stage)(folder.at(0), 0)
    stages.memory(folder.at(0), 0)  # goes on from what is there: nothing
    (member,) = folder.at(0).members
    assert member == tmp_path / "run" / "memory" / "member-1"
    first, other = (latest_checkpoint(path) for path in (folder.at(0).memory, member))
    assert first is not None
    assert other is not None
    assert first.step == other.step == 6
    assert first.state["dropout"] == other.state["dropout"] == 0.2
    assert first.state["seed"] != other.state["seed"]
    stages.controller(folder.at(0), 0)
    unguarded = create_run(tmp_path / "plain", small("--guards.dropout", "0.2"))
    for name in ("rollouts", "vision", "latents", "memory"):
        (unguarded.path / name).symlink_to(folder.path / name)
    stages.controller(unguarded.at(0), 0)
    assert (load_params(folder.at(0)) != load_params(unguarded.at(0))).any()
    for stage in ("collect", "vision", "memory", "controller"):
        getattr(stages, stage)(folder.at(1), 0)
    (later,) = folder.at(1).members
    assert latest_checkpoint(later) is not None
    assert later.parent == folder.at(1).memory


def test_the_ms_of_earlier_rounds_take_turns(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "run", small("--guards.earlier", "2", "--rounds.count", "3"))
    assert [folder.at(number).earlier for number in range(4)] == [
        (),
        (folder.at(0).memory,),
        (folder.at(0).memory, folder.at(1).memory),
        (folder.at(1).memory, folder.at(2).memory),
    ]
    for number in range(2):
        for stage in ("collect", "vision", "memory", "controller"):
            getattr(stages, stage)(folder.at(number), 0)
    first, second = (under_guards(folder.at(number), arena_of(folder.at(number))) for number in range(2))
    assert (first.members, second.members) == ((), (folder.at(0).memory,))
    own, earlier = open_guarded(second)
    weights = load_memory(folder.at(0).memory).head_weight
    assert torch.equal(earlier.memory.head.float(), weights.to(earlier.memory.dtype).float())
    assert not torch.equal(own.memory.head, earlier.memory.head)


def test_earlier_ms_need_a_v_that_stays() -> None:
    experiment = small("--guards.earlier", "1", "--rounds.count", "1", "--rounds.vision_updates", "5")
    with pytest.raises(ReverieError, match=r"^guards.earlier is 1, but V learns on in each round \(rounds.vision_upd"):
        require_fit(experiment, world_spec("tiny"))


def test_every_member_must_be_whole(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "run", small("--guards.members", "2", "--rounds.count", "0"))
    for stage in ("collect", "vision", "memory"):
        getattr(stages, stage)(folder, 0)
    (member,) = folder.members
    for file in member.glob("step-*"):
        file.unlink()
    with pytest.raises(ReverieError) as error:
        stages.controller(folder, 0)
    assert str(error.value) == f"{member} has 0 of 6 updates; run `reverie memory {folder.path}` first"


def test_guards_hold_in_dreams_alone() -> None:
    experiment = with_changes(make_experiment("carracing", "tiny"), ["--guards.dropout", "0.1"])
    with pytest.raises(ReverieError, match=r"^guards hold in dreams, and C is evolved in the world; leave them out"):
        require_fit(experiment, world_spec("carracing"))
