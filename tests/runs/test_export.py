"""An export is the run's agent, small and whole, and never half of one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.agents.card import CARD, MODEL_CARD, TENSOR_FILES
from reverie.agents.model_card import model_card
from reverie.agents.trained import Trained, open_export
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.files.arrays import load_arrays
from reverie.files.metrics import read_metrics
from reverie.runs import export as exporting
from reverie.runs.export import export_run, tidy
from reverie.runs.opening import trained_in
from reverie.runs.run_folder import open_run
from reverie.runs.scoring import read_scores, score
from reverie.worlds.registry import make
from tests.small_runs import copy_run, snapshot

HALF = 2**-11  # of a float16's rounding


def test_the_weights_are_those_of_the_run_rounded(finished: Path, exported: Path) -> None:
    run, export = trained_in(open_run(finished)), open_export(exported)
    for model in ("vision", "memory"):
        ours = getattr(export, model).state_dict()
        for name, weight in getattr(run, model).state_dict().items():
            np.testing.assert_allclose(ours[name], weight, rtol=HALF, atol=2**-25, err_msg=name)
    assert not np.array_equal(export.vision.dense.weight.detach(), run.vision.dense.weight.detach())
    np.testing.assert_array_equal(export.params, run.params)
    np.testing.assert_array_equal(export.starts.mu, run.starts.mu)
    np.testing.assert_array_equal(export.starts.logvar, run.starts.logvar)
    assert (export.experiment, export.spec) == (run.experiment, run.spec)
    assert export.memory.config == run.memory.config


def test_half_of_the_bytes(exported: Path) -> None:
    assert {file.name for file in exported.iterdir()} == {CARD, MODEL_CARD, *TENSOR_FILES}
    assert {file.stat().st_mode & 0o777 for file in exported.iterdir()} == {0o666 & ~_umask()}
    arrays, _ = load_arrays(exported / "vision.safetensors")
    values = sum(array.size for array in arrays.values())
    assert (exported / "vision.safetensors").stat().st_size < 2.01 * values + 8000


def test_the_agent_acts_as_the_run_does(finished: Path, exported: Path) -> None:
    world = make("tiny", num_envs=4, seed=1)
    frames, _ = world.reset(seed=[1, 2, 3, 4])
    noise = np.random.default_rng(0).standard_normal((4, 8), np.float32)
    actions = [_acts(trained, frames, noise) for trained in (trained_in(open_run(finished)), open_export(exported))]
    assert len(np.unique(actions[0])) == 8
    np.testing.assert_allclose(actions[1], actions[0], atol=0.02)


def _acts(trained: Trained, frames: np.ndarray, noise: np.ndarray) -> np.ndarray:
    agent = trained.agent()
    actions, state = agent.act(agent.initial(4), frames, noise)
    return np.concatenate([actions, agent.act(state, frames, noise)[0]])


def test_it_is_scored_as_the_run_is(finished: Path, exported: Path) -> None:
    for where, temperature in (("world", None), ("dream", 1.3)):
        of_run, of_export = (
            score(trained, where, 12, 0, temperature, workers=0)  # type: ignore[arg-type]
            for trained in (trained_in(open_run(finished)), open_export(exported))
        )
        assert len(set(of_run.score.scores)) > 6
        np.testing.assert_allclose(of_export.score.scores, of_run.score.scores, rtol=0.05, atol=0.05)
        assert of_export.random == of_run.random
        assert (of_export.score.where, of_export.score.temperature) == (where, temperature)


def test_workers_open_it_by_themselves(exported: Path) -> None:
    scores = [score(open_export(exported), "dream", 12, 0, None, workers).score for workers in (0, 2)]
    assert scores[0] == scores[1]


def test_the_card_says_what_the_run_was(finished: Path, exported: Path) -> None:
    card, run = open_export(exported).card, open_run(finished)
    assert card is not None
    assert (card.name, card.experiment, card.scores) == ("follow", run.experiment, read_scores(run))
    played = read_metrics(run.phase_folders[1] / "metrics.jsonl")[-1]["world_steps"]
    assert (card.real_steps, card.starts) == (Store(run.rollouts).total_steps + played, 66)
    assert card.parameters == {
        "vision": sum(weight.numel() for weight in trained_in(run).vision.parameters()),
        "memory": sum(weight.numel() for weight in trained_in(run).memory.parameters()),
        "controller": 17,
    }
    assert card.versions == run.versions
    assert card.seconds == pytest.approx(run.timings, abs=0.05)
    assert card.command.startswith(
        "reverie run tiny --preset tiny --seed 0 --phases ppo:dream:3 ppo:world:2:all:num_envs=3 cmaes:dream:3 --coll"
    )
    text = (exported / MODEL_CARD).read_text()
    agent = card.scores["agent"]
    assert f"| the agent, in the real world | {agent.mean:.1f} ± {agent.std:.1f} | 12 | 0 |" in text
    assert "| the agent, in its dream at temperature 1 |" in text
    how = "PPO in the dream, then PPO in the world, then CMA-ES in the dream, at temperature 1"
    assert f"- C was trained by {how}.\n" in text
    assert ": exploration and C's training.\n" in text
    for fact in (card.command, *card.sha256.values(), f"{card.real_steps:,} steps", 'reverie.load("follow")'):
        assert fact in text, fact


def test_the_model_card_says_that_a_run_began_at_weights_which_had_learned_before(exported: Path) -> None:
    card = open_export(exported).card
    assert card is not None
    began = model_card(replace(card, experiment=replace(card.experiment, start_from="doom", start_digest="0" * 16)))
    assert f"{card.real_steps:,} steps in the real world were learned from, beyond those of the weights" in began
    assert ", beyond" not in model_card(card)


def test_an_export_takes_the_place_of_an_earlier_one(finished: Path, exported: Path, tmp_path: Path) -> None:
    place = copy_run(exported, tmp_path / "mine")
    before = snapshot(place)
    card = export_run(open_run(finished), place).card
    assert card is not None
    assert card.name == "mine"
    assert not set(snapshot(place).values()) & set(before.values())
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_is_empty_is_free(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert export_run(open_run(finished), tmp_path / "new").path == tmp_path / "new"


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*arguments: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("name", ["save_starts", "model_card", "write_card", "try_out"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ReverieError("no")])
def test_what_is_there_stays_where_an_export_fails(
    name: str,
    error: BaseException,
    finished: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = copy_run(exported, tmp_path / "mine")
    before = snapshot(tmp_path)
    monkeypatch.setattr(exporting, name, failing(error))
    with pytest.raises(type(error)):
        export_run(open_run(finished), place)
    assert snapshot(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_rename_that_fails_puts_back_what_was_there(
    finished: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy_run(exported, tmp_path / "mine")
    before, rename = snapshot(tmp_path), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if "-new" in path.name:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ReverieError) as error:
        export_run(open_run(finished), place)
    assert str(error.value) == (
        f"cannot write mine in {tmp_path}: No space left on device; "
        "make room there or allow writing, then give the same command again"
    )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_place_that_holds_something_else(what: str, finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "thesis"
    if what == "folder":
        place.mkdir()
    (place / "chapter.tex" if what == "folder" else place).write_text("years of work")
    before = snapshot(tmp_path)
    with pytest.raises(ReverieError) as error:
        export_run(open_run(finished), place)
    assert str(error.value) == f"{place} exists and is not an export; choose another folder"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        (
            "scores/agent.json",
            "{run} has no scores to put on a card yet; finish the run: reverie run tiny --preset tiny",
        ),
        ("controller/best.safetensors", "{run} has no trained controller yet; run `reverie controller {run}` first"),
    ],
)
def test_a_run_that_is_not_finished(lacking: str, message: str, finished: Path, tmp_path: Path) -> None:
    run = copy_run(finished, tmp_path / "run")
    (run / lacking).unlink()
    with pytest.raises(ReverieError) as error:
        export_run(open_run(run), tmp_path / "mine")
    assert str(error.value).startswith(message.format(run=run))
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_an_agent_that_acts_with_nan_is_not_exported(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.controller.model.Controller.act", lambda self, params, x: x[..., :1] * np.nan)
    with pytest.raises(ReverieError) as error:
        export_run(open_run(finished), tmp_path / "mine")
    assert str(error.value) == "the exported agent acts with [[nan]], expected finite numbers; train it again"
    assert not list(tmp_path.iterdir())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_a_killed_export_left_is_tidied_up(finished: Path, exported: Path, tmp_path: Path) -> None:
    """Killed after the old export made room for the new one: the old one comes back, and then gives way."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as dead:
        pass
    living = os.getppid()
    copy_run(exported, tmp_path / f".agent-{dead.pid}-old.tmp")
    for name in (f".agent-{dead.pid}-new.tmp", f".agent-{living}-new.tmp", f".other-{dead.pid}-new.tmp", ".agent.tmp"):
        (tmp_path / name).mkdir()
    tidy(tmp_path / "agent")
    kept = [f".agent-{living}-new.tmp", ".agent.tmp", f".other-{dead.pid}-new.tmp"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "agent"])
    assert open_export(tmp_path / "agent").params.tobytes() == open_export(exported).params.tobytes()
    assert export_run(open_run(finished), tmp_path / "agent").path == tmp_path / "agent"
