"""A run of several rounds: a curious C, an ensemble of Ms, phases by round; interrupted, prolonged, spread."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import MetricsLog, read_metrics
from reverie.hardware import single_thread
from reverie.learning import ppo
from reverie.learning.phases import BEST_FILE
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.recipe.rounds import CURIOUS_UPDATES
from reverie.runs import curiosity, scoring, stages
from reverie.runs.gather import real_steps, spread
from reverie.runs.opening import load_agent, load_params, open_trained, trained_in
from reverie.runs.rounds import rounds_of, rounds_table
from reverie.runs.run import run
from reverie.runs.run_folder import RunFolder, create_run, open_run
from reverie.runs.scoring import read_scores
from reverie.runs.verify import verify_run
from reverie.settings import with_changes
from reverie.vision.latents import Latents
from reverie.workers.pool import Workers
from tests.small_runs import copy_run

SMALL = {
    "collect.episodes": 6,
    "collect.max_steps": 12,
    "vision.updates": 4,
    "vision.batch_size": 4,
    "memory.hidden_size": 8,
    "memory.updates": 6,
    "memory.batch_size": 4,
    "memory.sequence_length": 8,
    "phases": "backprop:dream:2:first ppo:dream:1:later cmaes:dream:1:later ppo:world:1:later:num_envs=3",
    "ppo.num_envs": 6,
    "ppo.num_steps": 4,
    "cmaes.population": 4,
    "cmaes.episodes": 1,
    "cmaes.rescore_episodes": 2,
    "dream.starts": "replay",
    "dream.horizon": 5,
    "dream.dropout": 0.2,
    "dream.ensemble_size": 2,
    "rounds.count": 2,
    "rounds.episodes": 16,  # eight of the curious C's, and eight of C's own
    "rounds.memory_updates": 3,
    "rounds.curiosity": 1,
    "rounds.evaluation_episodes": 1,
    "evaluation_episodes": 2,
}


def small(**changes: object) -> Experiment:
    """The run of these tests; `rounds__count=1` changes a setting."""
    changed = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    words = [part for name, value in changed.items() for part in (f"--{name}", *str(value).split())]
    return with_changes(make_experiment("tiny", "tiny"), words)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All rounds in one go, by two workers."""
    path = tmp_path_factory.mktemp("straight") / "run"
    with single_thread():
        run(small(), path, workers=2)
    return path


@pytest.fixture(scope="module")
def iterated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same in one process, stopped as the curious C learns, finished after a round, and then given another."""
    path = tmp_path_factory.mktemp("iterated") / "run"
    with pytest.MonkeyPatch.context() as patch, single_thread():
        patch.setattr(ppo, "explained_variance", stop_after(10))
        with pytest.raises(KeyboardInterrupt):
            run(small(rounds__count=1), path, workers=0)
        patch.undo()
        run(small(rounds__count=1), path, workers=0)
        first = read_scores(open_run(path))["agent"]
        run(small(), path, workers=0)
    assert read_scores(open_run(path).at(1))["agent"] == first  # kept as the score of what is a round of several now
    return path


def stop_after(calls: int) -> Callable[..., float]:
    """A stand-in for what an update of PPO calls once; C's own phase before has none."""
    left = iter(range(calls))

    def explained(*_: object) -> float:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return 0.0

    return explained


def test_interrupted_prolonged_or_with_workers_it_ends_with_the_same_bits(iterated: Path, straight: Path) -> None:
    ours, theirs = open_run(iterated), open_run(straight)
    assert ours.round == theirs.round == 2
    assert Store(ours.rollouts).entries == Store(theirs.rollouts).entries  # SHA-256 of each file included
    for number in range(3):
        one, other = ours.at(number), theirs.at(number)
        np.testing.assert_array_equal(load_params(one), load_params(other))
        for folder, counterpart in zip(
            (one.vision, one.memory, *one.members, *one.phase_folders),
            (other.vision, other.memory, *other.members, *other.phase_folders),
            strict=True,
        ):
            found, expected = latest_checkpoint(folder), latest_checkpoint(counterpart)
            assert found is not None
            assert expected is not None
            assert (found.step, found.state) == (expected.step, expected.state)
            for name, array in found.arrays.items():
                assert array.tobytes() == expected.arrays[name].tobytes(), (folder, name)
    assert read_scores(ours) == read_scores(theirs)
    selections = [json.loads((path / "selection.json").read_text()) for path in (iterated, straight)]
    assert selections[0] == selections[1]


def test_each_round_adds_what_c_and_the_curious_played_and_trains_on(iterated: Path) -> None:
    folder = open_run(iterated)
    policies = [entry.policy for entry in Store(folder.rollouts).entries]
    assert len(policies) == 6 + 2 * 16
    assert set(policies[6:14]) | set(policies[22:30]) == {"curious", "curious, disturbed"}
    assert set(policies[14:22]) | set(policies[30:]) == {"agent", "agent, disturbed"}
    assert not {"agent", "agent, disturbed", "curious"} & set(policies[:6])
    learned = [latest_checkpoint(folder.at(number).curious) for number in (1, 2)]
    assert [checkpoint and checkpoint.step for checkpoint in learned] == [CURIOUS_UPDATES] * 2
    steps = [checkpoint.step for number in (0, 1, 2) if (checkpoint := latest_checkpoint(folder.at(number).memory))]
    assert steps == [6, 3, 3]
    assert [folder.at(number).memory.parent.name for number in (0, 1, 2)] == ["run", "round-1", "round-2"]
    assert folder.vision == folder.at(0).vision  # V was left as it was
    phases = [[path.name for path in folder.at(number).phase_folders] for number in (0, 1, 2)]
    later = ["2-ppo-dream", "3-cmaes-dream", "4-ppo-world"]
    assert phases == [["1-backprop-dream"], later, later]
    params = [load_params(folder.at(number)) for number in range(3)]
    assert not any((one == other).all() for one, other in itertools.pairwise(params))


def test_every_m_of_an_ensemble_is_trained_in_each_round(iterated: Path) -> None:
    folder = open_run(iterated)
    for number, steps in ((0, 6), (1, 3), (2, 3)):
        at = folder.at(number)
        (member,) = at.members
        assert member == at.memory / "member-1"
        first, other = (latest_checkpoint(path) for path in (at.memory, member))
        assert first is not None
        assert other is not None
        assert first.step == other.step == steps
        assert first.state["dropout"] == other.state["dropout"] == 0.2
        assert first.state["seed"] != other.state["seed"]


def test_a_m_that_is_not_whole_is_no_member(iterated: Path, tmp_path: Path) -> None:
    folder = open_run(copy_run(iterated, tmp_path / "run"))
    (member,) = folder.members
    for file in member.glob("step-*"):
        file.unlink()
    with pytest.raises(ReverieError) as error:
        stages.controller(folder, 0)
    assert str(error.value) == f"{member} has 0 of 3 updates; run `reverie memory {folder.path}` first"


def test_every_round_is_scored_and_the_last_one_is_the_runs_own(iterated: Path) -> None:
    folder = open_run(iterated)
    files = {str(file.relative_to(iterated)) for file in iterated.rglob("scores/*.json")}
    rounds = {f"round-{number}/scores/{name}.json" for number in (0, 1) for name in ("agent", "dream")}
    assert files == rounds | {f"scores/{name}.json" for name in ("agent", "dream", "random")}
    assert [folder.at(number).scored_episodes for number in (0, 1, 2)] == [1, 1, 2]
    for number, episodes in enumerate((1, 2, 2)):  # round 1 was the last one once
        assert {score.episodes for score in read_scores(folder.at(number)).values()} == {episodes}
    assert (load_agent(folder).params.numpy() == load_params(folder).astype(np.float32)).all()
    assert {"collect", "collect, round 2", "controller, round 1"} <= set(folder.timings)
    assert verify_run(iterated) == []


def test_the_rows_of_the_rounds(iterated: Path) -> None:
    folder = open_run(iterated)
    rows = rounds_of(folder)
    steps = [entry.steps for entry in Store(folder.rollouts).entries]
    taught = [
        int(read_metrics(folder.at(number).phase_folders[-1] / "metrics.jsonl")[-1]["world_steps"]) for number in (1, 2)
    ]
    expected = [sum(steps[:6]), sum(steps[:22]) + taught[0], sum(steps) + sum(taught)]
    assert [row.real_steps for row in rows] == expected
    assert [sorted(row.fresh) for row in rows] == [[], ["done", "reward", "z_nll"], ["done", "reward", "z_nll"]]
    assert all(row.agent and row.dream for row in rows)
    cells = [row.coverage or 0 for row in rows]
    assert 0 < cells[0] <= cells[1] <= cells[2] == rows[2].as_dict()["coverage"]
    table = rounds_table("tiny", rows)
    assert f" {cells[1]:,} " in table
    assert f"{rows[1].agent.mean:.1f} ±" in table  # type: ignore[union-attr]
    assert rows[2].as_dict()["real"]["mean"] == read_scores(folder)["agent"].mean


def test_a_finished_run_is_left_alone(iterated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(curiosity, "learn")  # what was played is not played again
    before = {file: file.read_bytes() for file in iterated.rglob("*.safetensors")}
    result = run(small(), iterated, workers=0)
    assert {file: file.read_bytes() for file in iterated.rglob("*.safetensors")} == before
    told = result.as_dict()
    assert [row["round"] for row in told["rounds"]] == [0, 1, 2]
    assert told["rounds"][2]["real"]["mean"] == told["score"]["mean"]
    assert result.table().startswith("tiny: what each round brought")


def test_rounds_are_not_taken_away_nor_added_behind_what_was_made_of_the_last(iterated: Path, tmp_path: Path) -> None:
    folder = open_run(copy_run(iterated, tmp_path / "run"))
    with pytest.raises(ReverieError, match=r"^round 3 of .*; expected 0 to 2$"):
        folder.at(3)
    with pytest.raises(ReverieError, match=r"rounds.count: 2 there, 1 asked for"):
        create_run(folder.path, small(rounds__count=1))
    folder.reproduced.mkdir()
    with pytest.raises(ReverieError, match=r"as it ended after round 2; move it away to add rounds$"):
        create_run(folder.path, small(rounds__count=3))
    ends = "ppo:dream:2:first ppo:dream:1:last"
    other = create_run(tmp_path / "other", small(phases=ends, rounds__count=1))
    place = other.phase_folders[0]
    place.mkdir(parents=True)
    (place / "step-00000001.json").write_text("{}")
    with pytest.raises(ReverieError, match=r"has been through phases of the last round; choose another run folder for"):
        create_run(other.path, small(phases=ends, rounds__count=2))
    assert open_run(other.path).round == 1


@pytest.mark.parametrize(("again", "stays"), [(1e9, False), (-1e9, True)])
def test_an_earlier_c_is_chosen_where_it_is_better_on_the_same_seeds_too(
    again: float, stays: bool, iterated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_run(copy_run(iterated, tmp_path / "run"))
    (folder.path / "selection.json").unlink()
    returns = iter([-1e6, again])  # of the last round's C, and of its rival
    monkeypatch.setattr(scoring, "returns_on", lambda agent, seeds, workers, max_steps: [next(returns)] * len(seeds))
    with Workers(0) as pool:
        scoring.select(folder, pool)
    assert (folder.chosen.round == 2) == stays
    assert open_trained(folder.path).parts.controller == folder.chosen.controller / BEST_FILE
    assert folder.at(1).chosen == folder.at(1)


def test_v_learns_on_where_it_is_asked_to(tmp_path: Path) -> None:
    experiment = small(rounds__vision_updates=2, rounds__count=1, dream__ensemble_size=1, rounds__curiosity=0)
    folder = create_run(tmp_path / "run", experiment)
    for number in (0, 1):
        for stage in ("collect", "vision", "memory", "controller"):
            getattr(stages, stage)(folder.at(number), 0)
    first, later = (latest_checkpoint(folder.at(number).vision) for number in (0, 1))
    assert first is not None
    assert later is not None
    assert (first.step, later.step) == (4, 2)
    assert folder.latents == tmp_path / "run" / "round-1" / "latents"
    assert not (folder.memory / "fresh.json").exists()  # the old M does not know the new V's latents
    before = latent_files(folder.path)
    stages.vision(folder.at(0), 0)  # as a run that goes on does: its V never sees what was played later
    assert [len(Latents(folder.at(number).latents).entries) for number in (0, 1)] == [6, 22]
    assert latent_files(folder.path) == before


def latent_files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("part-*.safetensors")}


def test_episodes_follow_until_there_are_as_many_steps_as_asked_for(tmp_path: Path) -> None:
    asked = {"collect__steps": 100, "rounds__steps": 250, "rounds__curiosity": 0, "rounds__count": 1}
    folder = create_run(tmp_path / "run", small(**asked, dream__ensemble_size=1, phases="ppo:dream:1"))
    with pytest.raises(
        ReverieError,
        match=r"round 0 of .* is not collected \(it is not in rounds.json\); run `reverie collect .*` first",
    ):
        folder.episodes_by(0)
    for stage in ("collect", "vision", "memory", "controller"):
        getattr(stages, stage)(folder.at(0), 0)
    stages.collect(folder.at(1), 0)
    store = Store(folder.rollouts)
    counts = [folder.episodes_by(number) for number in (0, 1)]
    assert counts[1] == len(store.entries)
    steps = [sum(entry.steps for entry in store.entries[first:last]) for first, last in ((0, counts[0]), counts)]
    assert 100 <= steps[0] < 130
    assert 250 <= steps[1] < 400
    before = store.entries
    (folder.rollouts / "rounds.json").unlink()
    for number in (0, 1):
        stages.collect(folder.at(number), 0)  # as a run that was killed before it wrote that down
    assert Store(folder.rollouts).entries == before
    assert [folder.episodes_by(number) for number in (0, 1)] == counts


@pytest.mark.parametrize(("world", "lasting"), [("tiny", 1), ("doom-skill-5-repeat-4", 4)])
def test_real_steps_are_the_games_in_all_rounds(world: str, lasting: int, tmp_path: Path) -> None:
    words = ["--rounds.count", "2", "--phases", "cmaes:world:2"]
    folder = create_run(tmp_path / "run", with_changes(make_experiment(world, "tiny"), words))
    for number, steps in enumerate((10, 200)):  # the last round has not begun
        (place,) = folder.at(number).phase_folders
        place.mkdir(parents=True)
        with MetricsLog(place / "metrics.jsonl", resume_step=0) as log:
            log.append(step=1, world_steps=steps - 1)
            log.append(step=2, world_steps=steps)
    store = Store(folder.rollouts)
    assert real_steps(folder, store) == 210 * lasting
    assert real_steps(folder.at(0), store) == 10 * lasting
    assert [row.real_steps for row in rounds_of(folder)] == [10 * lasting, 210 * lasting, 210 * lasting]


@pytest.mark.parametrize(
    ("found", "count", "expected"),
    [
        (range(100), 4, [0, 33, 66, 99]),
        ("ab", 6, ["a", "b"]),
        ([7], 3, [7]),
        ([], 3, []),
        (range(7), 6, [0, 1, 2, 4, 5, 6]),
    ],
)
def test_what_is_shown_is_spread_from_the_first_to_the_last(found: Any, count: int, expected: list[Any]) -> None:
    assert spread(found, count) == expected


def test_the_report_shows_the_agent_of_each_round(iterated: Path, tmp_path: Path) -> None:
    page = (iterated / "report.html").read_text()
    for words in (
        "round 0",
        "round 2",
        "backpropagation in the dream, then PPO in the dream, then CMA-ES in the dream, then PPO in the world",
    ):
        assert words in page
    folder: RunFolder = open_run(copy_run(iterated, tmp_path / "run"))
    shutil.rmtree(folder.controller)
    assert stages.report(folder).exists()  # one that was stopped in its last round has a report too
    assert trained_in(folder.at(1)).params.size > 0
