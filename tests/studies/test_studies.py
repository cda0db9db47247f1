"""The studies made so small that they find nothing, but run from end to end; and their figures on made-up trials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reverie.cli import main
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.play.env_spec import close_envs
from reverie.runs.run_folder import open_run
from reverie.settings import differences, to_json
from reverie.studies import absorption, curiosity, guards
from reverie.studies.absorption import AbsorptionStudy, absorption_study
from reverie.studies.curiosity import CuriosityStudy, cells_seen
from reverie.studies.guards import GuardsStudy, guards_study
from tests.small_runs import snapshot

SMALL = [
    *("--collect.episodes", "12", "--collect.max-steps", "12", "--vision.updates", "3", "--vision.batch-size", "4"),
    *("--memory.updates", "4", "--memory.batch-size", "4", "--memory.sequence-length", "8"),
    *("--cmaes.population", "4", "--cmaes.episodes", "1", "--cmaes.rescore-episodes", "2"),
    *("--evaluation-episodes", "2", "--rounds.count", "1", "--rounds.episodes", "16", "--rounds.memory-updates", "2"),
]
LEARNING = ["--phases", "ppo:dream:2", "--ppo.num-envs", "4", "--ppo.num-steps", "4"]
GUARDED = [*SMALL[: SMALL.index("--rounds.count")], *LEARNING]


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    monkeypatch.setattr(absorption, "EPISODES", 2)
    with single_thread():
        yield
    close_envs()


def test_curiosity_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "curiosity", "--seeds", "1", "--run-dir", str(tmp_path / "study"), "--workers", "0", "--json"]
    few = ["--rounds.vision-updates", "2"]
    with pytest.raises(SystemExit) as stop:
        main([*words, *SMALL, *LEARNING, *few])
    assert stop.value.code == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "study" / "study.json").read_text()) == said
    without, curious = said["trials"]
    assert (without["arm"], curious["arm"]) == ("without", "with")
    assert without["real_steps"] == curious["real_steps"]
    assert without["cells"][0] == curious["cells"][0] <= curious["cells"][1]
    one, other = (open_run(tmp_path / "study" / f"{arm}-0") for arm in ("without", "with"))
    changed = list(differences(to_json(one.experiment), to_json(other.experiment)))
    assert changed == ["rounds.curiosity: 0.0 there, 1.0 asked for"]
    store = Store(other.rollouts)
    assert {entry.policy for entry in store.entries} >= {"curious", "uniform"}
    assert cells_seen(store, [other.episodes_by(number) for number in (0, 1)]) == curious["cells"]


def test_curiosity_in_figures() -> None:
    trials = [
        curiosity.Trial(arm, seed, (100, 200), (3, 5 + 10 * (arm == "with")), (0.0, 40.0 * (arm == "with") + seed))
        for seed in range(2)
        for arm in curiosity.ARMS
    ]
    study = CuriosityStudy(2.0, tuple(trials))
    assert study.as_dict()["last"]["with"] == {"cells": {"mean": 15, "std": 0}, "score": {"mean": 40.5, "std": 0.5}}
    lines = study.table().splitlines()
    assert "curiosity of weight 2 beside none, mean ± std over 2 seeds" in lines[0]
    (last,) = [line for line in lines if "200" in line]
    assert [cell.strip() for cell in last.strip("│┃ ").split("│")] == [
        "1", "200", "5.0 ± 0.0", "15.0 ± 0.0", "0.5 ± 0.5", "40.5 ± 0.5",
    ]  # fmt: skip


def test_cells_are_places_and_speeds() -> None:
    standing = curiosity.cells_of(np.full(5, -0.5))
    assert len(set(standing.tolist())) == 1
    assert len(standing) == 4
    moving = curiosity.cells_of(np.array([-0.5, -0.45, -0.5]))
    assert len(set(moving.tolist())) == 2
    every = curiosity.cells_of(np.linspace(-1.2, 0.6, 200))
    assert every.max() < curiosity.PLACES * curiosity.SPEEDS
    assert len(set((every // curiosity.SPEEDS).tolist())) == curiosity.PLACES


def test_absorption_runs_and_goes_on(tmp_path: Path) -> None:
    study = absorption_study(tmp_path, 1, SMALL, generations=2)
    assert [trial.arm for trial in study.trials] == ["without", "with"]
    plain, seeing = study.trials
    assert len(plain.means) == len(seeing.best) == 2
    assert plain.bar == seeing.bar
    assert plain.agreement == seeing.agreement < 1
    before = snapshot(tmp_path / "with-0")
    assert absorption_study(tmp_path, 1, SMALL, generations=2).as_dict() == study.as_dict()
    names = {name for name in before if "step-" in name}
    assert {name: before[name] for name in names} == {
        name: state for name, state in snapshot(tmp_path / "with-0").items() if name in names
    }


def test_absorption_in_figures() -> None:
    def trial(arm: absorption.Arm, reached: int | None) -> absorption.Trial:
        return absorption.Trial(arm, 0, 60.0, 0.4, (1.0, 2.0), (30.0, 61.0), reached, 55.0, 58.0)

    study = AbsorptionStudy(20, (trial("without", None), trial("with", 3), trial("without", 11), trial("with", 5)))
    arms = study.as_dict()["arms"]
    assert arms["without"]["reached"] == 1
    assert arms["without"]["generations"] == {"mean": 16, "std": 5}  # never is one more than all
    assert arms["with"]["generations"] == {"mean": 4, "std": 1}
    table = study.table()
    assert "2 of 2" in table
    assert "M foresees 40.0 ± 0.0 % of the variance of the old C's actions." in table


def test_guards_take_over_what_they_do_not_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(guards, "WORLD", "tiny")
    study = guards_study(tmp_path, 1, GUARDED)
    assert [trial.arm for trial in study.trials] == [arm.name for arm in guards.ARMS]
    assert len({trial.dream for trial in study.trials}) >= 5  # they learned on different terms
    runs = {arm.name: open_run(guards.folder_of(tmp_path, arm.name, 0)) for arm in guards.ARMS}
    plain = runs.pop("plain")
    vision, memory = plain.vision / "step-00000003.safetensors", plain.memory / "step-00000004.safetensors"
    for name, run in runs.items():
        assert (run.vision / vision.name).read_bytes() == vision.read_bytes()
        same = (run.memory / memory.name).read_bytes() == memory.read_bytes()
        assert same == (name != "dropout 0.1"), name
        changed = {line.split(":")[0] for line in differences(to_json(plain.experiment), to_json(run.experiment))}
        (arm,) = [arm for arm in guards.ARMS if arm.name == name]
        assert changed == {word.removeprefix("--") for word in arm.changes[::2]}
    several, doubting = runs["three Ms"], runs["penalty 0.5"]
    for one, other in zip(several.members, doubting.members, strict=True):
        assert (one / memory.name).read_bytes() == (other / memory.name).read_bytes()
    before = snapshot(tmp_path)
    assert guards_study(tmp_path, 1, GUARDED).as_dict() == study.as_dict()
    after = snapshot(tmp_path)
    assert {name: before[name] for name in before if "step-" in name} == {
        name: after[name] for name in after if "step-" in name
    }


def test_a_guard_that_is_on_in_all_arms_is_no_arm(tmp_path: Path) -> None:
    with pytest.raises(ReverieError, match=r"the study's arm 'temperature 1\.3' is what the settings say already"):
        guards_study(tmp_path, 1, ["--dream.temperature", "1.3"])


def test_guards_in_figures() -> None:
    trials = [
        guards.Trial(arm.name, seed, -100.0 * place, -300.0 - seed)
        for place, arm in enumerate(guards.ARMS)
        for seed in range(2)
    ]
    study = GuardsStudy(tuple(trials), (-1200.0, -1300.0))
    found = study.as_dict()
    assert found["arms"]["temperature 1.3"]["gap"] == {"mean": 200.5, "std": 0.5}
    assert found["random"] == {"mean": -1250, "std": 50}
    assert found["trials"][2] == {"arm": "temperature 1.3", "seed": 0, "dream": -100, "real": -300, "gap": 200}
    (line,) = [line for line in study.table().splitlines() if "temperature" in line]
    assert [cell.strip() for cell in line.strip("│┃ ").split("│")] == [
        "temperature 1.3", "-100.0 ± 0.0", "-300.5 ± 0.5", "200.5 ± 0.5",
    ]  # fmt: skip
