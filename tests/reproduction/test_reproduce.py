"""A small plan from end to end: what each row is, what is kept, what an interruption costs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.controller.file import load_controller
from reverie.errors import ReverieError
from reverie.evaluation.score import dream_seeds, world_seeds
from reverie.files.metrics import MetricsLog
from reverie.learning.cma import CMAES
from reverie.learning.cmaes import BEST_FILE
from reverie.learning.config import FinetuneConfig
from reverie.memory.model import MDNRNN
from reverie.memory.train import load_memory
from reverie.reproduction import reproduce, rows
from reverie.reproduction.outcome import Reproduction
from reverie.reproduction.plan import Evolved, MainAgent, Plan, Row
from reverie.reproduction.reproduce import main_experiment, reproduce_run
from reverie.reproduction.searches import budget_of
from reverie.reproduction.work import Work
from reverie.runs.run_folder import open_run
from reverie.runs.verify import verify_run
from reverie.workers.pool import Workers
from reverie.workers.seeds import torch_seed
from tests.reproduction.parts import ELSEWHERE, EPISODES, SEED, TINY_PLAN, Z_HIDDEN
from tests.small_runs import copy_run, flip, snapshot

OWN = TINY_PLAN.evolution


def scores(found: Reproduction) -> dict[str, Any]:
    return {one.row.name: (one.dream, one.real) for one in found.outcomes}


def kept(run: Path) -> dict[str, Any]:
    """What tells whether any work of the rows was written since; times and the page aside."""
    files = snapshot(run / "reproduce")
    return {name: stat for name, stat in files.items() if "/" in name}


def test_every_row_is_scored_on_the_same_unseen_seeds(found: Reproduction) -> None:
    assert [one.row for one in found.outcomes] == list(TINY_PLAN.rows)
    for outcome in found.outcomes:
        assert (outcome.real.episodes, outcome.real.seed) == (EPISODES, SEED)
        assert (outcome.real.where, outcome.real.world) == ("world", outcome.row.world)
    assert len(set(world_seeds(SEED, EPISODES)) | set(dream_seeds(SEED, EPISODES))) == 2 * EPISODES


def test_dreams_are_scored_at_the_temperature_of_their_evolution(found: Reproduction) -> None:
    taus = {one.row.name: one.temperature for one in found.outcomes}
    evolved = {"main": 1.0, "tau-0.50": 0.5, "tau-1.30": 1.3, "trained-m": 1.0, "untrained-m": 1.0}
    awake = ("random", "sweep-10", "blinded", "elsewhere", "z-in-world", "raw-in-world")
    assert taus == dict.fromkeys(awake) | evolved
    for name, tau in evolved.items():
        dream = found.of(name).dream
        assert dream is not None
        assert (dream.temperature, dream.where, dream.episodes, dream.seed) == (tau, "dream", EPISODES, SEED)


def test_each_row_says_what_it_learned_from(found: Reproduction) -> None:
    steps = {one.row.name: one.real_steps for one in found.outcomes}
    assert steps["random"] == steps["sweep-10"] == 0
    assert 0 < steps["tau-0.50"] == steps["tau-1.30"] < steps["main"] == steps["untrained-m"] == steps["elsewhere"]
    assert found.of("main").seconds > sum(open_run(found.run_dir).timings.values()) - 1
    for name in ("z-in-world", "raw-in-world"):
        budget = found.of(name).budget
        assert budget is not None
        assert steps[name] == steps["main"] + budget.world_steps


def test_what_each_was_evolved_with_is_told(found: Reproduction) -> None:
    budgets = {one.row.name: one.budget for one in found.outcomes if one.budget is not None}
    assert set(budgets) == {"main", "tau-0.50", "tau-1.30", "trained-m", "untrained-m", "z-in-world", "raw-in-world"}
    parameters = {name: budget.parameters for name, budget in budgets.items()}
    assert (parameters["main"], parameters["z-in-world"]) == (8 + 8 + 1, 8 * 3 + 3 + 3 + 1)
    for name, budget in budgets.items():
        assert (budget.dream_steps > 0, budget.world_steps > 0) == (
            not name.endswith("in-world"),
            name.endswith("in-world"),
        )
    assert budgets["main"].generations == 2 + 1  # of both rounds
    for name, budget in budgets.items():
        assert name == "main" or budget.generations == 2
        assert budget.seconds > 0


def test_whoever_learned_is_scored_in_the_plans_engine(found: Reproduction) -> None:
    driven = {one.row.name: one.engine for one in found.outcomes if one.engine is not None}
    learned = {row.name for row in TINY_PLAN.rows if isinstance(row.player, Evolved)}
    assert set(driven) == {"main", *learned}
    for name, score in driven.items():
        outcome = found.of(name)
        assert (score.world, score.episodes, score.seed) == (ELSEWHERE, EPISODES, SEED)
        assert outcome.gap == score.mean - outcome.real.mean
    assert found.of("random").gap is None


def test_in_the_world_c_may_have_another_shape_and_m_random_weights(found: Reproduction) -> None:
    run = open_run(found.run_dir)
    with Workers(0) as pool:
        work = Work(run, TINY_PLAN, EPISODES, SEED, pool)
        z, raw = (work.trained(found.of(name).row) for name in ("z-in-world", "raw-in-world"))
    assert z.agent().senses.memory is None
    assert z.agent().controller.config == Z_HIDDEN
    assert raw.parts.memory == run.path / "reproduce" / "raw-in-world" / "memory"
    assert raw.agent().senses.memory is not None
    assert (raw.parts.vision, z.parts.vision) == (run.vision, run.vision)


def test_the_agents_are_what_their_rows_say(found: Reproduction) -> None:
    run = open_run(found.run_dir)
    with Workers(0) as pool:
        work = Work(run, TINY_PLAN, EPISODES, SEED, pool)
        trained = {one.row.name: work.trained(one.row) for one in found.outcomes}
    assert trained["tau-0.50"].parts.memory == run.at(0).memory != run.memory
    assert trained["trained-m"].parts.memory == trained["main"].parts.memory == run.memory
    assert trained["main"].parts.controller == run.controller / BEST_FILE
    untrained = load_memory(trained["untrained-m"].parts.memory)
    random = MDNRNN(run.experiment.memory, torch_seed(run.experiment.seed, "memory", "weights"))
    for name, weight in random.state_dict().items():
        if name != "reward_scale":
            assert (untrained.state_dict()[name] == weight).all(), name
    assert (untrained.hidden_weight != load_memory(run.memory).hidden_weight).any()


def test_blindness_and_an_untrained_memory_change_what_happens(found: Reproduction) -> None:
    assert found.of("blinded").real.scores != found.of("main").real.scores
    twin, untrained = found.of("trained-m"), found.of("untrained-m")
    assert twin.dream is not None
    assert untrained.dream is not None
    assert twin.dream.scores != untrained.dream.scores
    assert found.of("elsewhere").real.world == ELSEWHERE


def test_it_is_told_in_json_on_a_page_and_on_film(found: Reproduction) -> None:
    folder = found.run_dir / "reproduce"
    told = json.loads((folder / "reproduce.json").read_text())
    assert told == json.loads(json.dumps(found.as_dict()))
    assert [row["name"] for row in told["rows"]] == [row.name for row in TINY_PLAN.rows]
    main, random = told["rows"][0], told["rows"][3]
    assert {"name", "tau", "dream", "real", "paper", "episodes", "seed", "seconds", "real_steps"} <= main.keys()
    assert main["paper"] == {"dream": None, "real": {"mean": 90, "std": 9}}
    assert (random["tau"], random["dream"], random["engine"], random["budget"]) == (None, None, None, None)
    driven = told["rows"][-1]
    assert told["engine"] == ELSEWHERE
    assert driven["gap"] == driven["engine"]["mean"] - driven["real"]["mean"]
    names = {"parameters", "updates", "generations", "dream_steps", "world_steps", "seconds"}
    assert driven["budget"].keys() == names
    assert [(test["name"], test["against"]) for test in told["tests"]] == list(TINY_PLAN.comparisons)
    html = found.page.read_text()
    for row in TINY_PLAN.rows:
        assert row.label in html
    assert "data:video/mp4" in html
    assert found.film == folder / "exploit.mp4"
    for name in ("transfer.png", "learning.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_done_rows_stay_as_they_are(found: Reproduction) -> None:
    before = kept(found.run_dir)
    again = reproduce_run(open_run(found.run_dir), TINY_PLAN, EPISODES, SEED, workers=0)
    assert scores(again) == scores(found)
    assert kept(found.run_dir) == before


def test_interrupted_between_two_rows_it_goes_on(
    two_rounds: Path, tmp_path: Path, found: Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(two_rounds, tmp_path / "run")
    with monkeypatch.context() as patched:
        interrupt(patched, reproduce, "finish", call=5)
        with pytest.raises(KeyboardInterrupt):
            reproduce_run(open_run(run), TINY_PLAN, EPISODES, SEED, workers=0)
    before = kept(run)
    assert {name.split("/")[0] for name in before} == {"main", "tau-0.50", "tau-1.30", "random"}
    again = reproduce_run(open_run(run), TINY_PLAN, EPISODES, SEED, workers=0)
    assert kept(run).items() >= before.items()
    assert scores(again) == scores(found)


def test_interrupted_within_a_search_it_ends_in_the_same_bits(
    two_rounds: Path, tmp_path: Path, found: Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(two_rounds, tmp_path / "run")
    plan = replace(TINY_PLAN, rows=TINY_PLAN.rows[:2], comparisons=())
    with monkeypatch.context() as patched:
        interrupt(patched, CMAES, "tell", call=2)
        with pytest.raises(KeyboardInterrupt):
            reproduce_run(open_run(run), plan, EPISODES, SEED, workers=0)
    assert (run / "reproduce" / "tau-0.50" / "controller" / "step-00000001.json").exists()
    again = reproduce_run(open_run(run), plan, EPISODES, SEED, workers=0)
    assert scores(again) == {name: scores(found)[name] for name in ("main", "tau-0.50")}
    best = Path("reproduce", "tau-0.50", "controller", BEST_FILE)
    ours, theirs = (load_controller(path / best)[1] for path in (run, found.run_dir))
    np.testing.assert_array_equal(ours, theirs)


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Let Ctrl-C come in place of the `call`-th call of a function."""
    act, calls = getattr(owner, name), iter(range(1, 1000))

    def act_or_stop(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return act(*args, **kwargs)

    monkeypatch.setattr(owner, name, act_or_stop)


def test_other_seeds_are_scored_anew_by_the_same_agents(two_rounds: Path, tmp_path: Path) -> None:
    run = copy_run(two_rounds, tmp_path / "run")
    plan = replace(TINY_PLAN, rows=TINY_PLAN.rows[:2], comparisons=())
    first = reproduce_run(open_run(run), plan, 2, 0, workers=0)
    own = scores_of_run(run)
    assert first.of("main").real.as_dict() == own["agent"]  # scored by the run on the same seeds already
    assert [file.name for file in (run / "reproduce" / "main" / "scores").iterdir()] == ["engine.json"]
    search = snapshot(run / "reproduce" / "tau-0.50" / "controller")
    second = reproduce_run(open_run(run), plan, 3, 1, workers=0)
    assert (second.of("main").real.seed, second.of("tau-0.50").real.episodes) == (1, 3)
    assert snapshot(run / "reproduce" / "tau-0.50" / "controller") == search
    assert scores_of_run(run) == own


def scores_of_run(run: Path) -> dict[str, Any]:
    return {file.stem: json.loads(file.read_text()) for file in (run / "scores").iterdir()}


def test_a_row_that_is_the_runs_own_search_takes_its_c(finished: Path, tmp_path: Path) -> None:
    run = open_run(copy_run(finished, tmp_path / "run"))
    tau = run.experiment.dream.temperature
    plan = Plan(
        "tiny",
        (
            Row("own", "own", Evolved(tau, first_round=True), "tiny"),
            Row("warmer", "warmer", Evolved(tau + 0.1, first_round=True), "tiny"),
            Row("last", "last", Evolved(), "tiny"),
        ),
    )
    found = reproduce_run(run, plan, 2, 0, workers=0)
    made = [path.parent.name for path in sorted((run.path / "reproduce").glob("*/controller"))]
    assert made == ["warmer"]
    assert found.of("own").real == found.of("last").real != found.of("warmer").real
    assert found.of("own").real_steps == found.of("last").real_steps > 0
    assert verify_run(run.path) == []
    flip(run.path / "reproduce" / "warmer" / "controller" / BEST_FILE, 0.99)
    assert [Path(problem.file).name for problem in verify_run(run.path)] == [BEST_FILE]


def test_rows_of_one_computation_share_it(two_rounds: Path, finished: Path) -> None:
    with Workers(0) as pool:
        for path, shared in ((two_rounds, False), (finished, True)):
            run = open_run(path)
            plan = Plan(
                "tiny",
                (
                    Row("first", "first", Evolved(run.experiment.dream.temperature, first_round=True), "tiny"),
                    Row("last", "last", Evolved(), "tiny"),
                    Row("untrained", "untrained", Evolved(untrained=True), "tiny"),
                ),
                evolution=OWN,
            )
            work = Work(run, plan, 2, 0, pool)
            folders = [work.folder_of(row).path.name for row in plan.rows]
            assert folders == ["first", "first" if shared else "last", "untrained"]


def test_an_existing_run_is_taken_as_it_is(finished: Path, tmp_path: Path) -> None:
    found = open_run(finished).experiment
    assert main_experiment("tiny", None, finished) == main_experiment("tiny", "tiny", finished) == found
    assert main_experiment("doom", None, tmp_path).preset == "standard"
    assert main_experiment("doom", "quick", tmp_path).preset == "quick"
    with pytest.raises(ReverieError) as error:
        main_experiment("tiny", "quick", finished)
    assert str(error.value) == (
        f"{finished} is a run of preset tiny, asked for quick; leave --preset out, or choose another run folder"
    )
    with pytest.raises(ReverieError) as error:
        main_experiment("doom", None, finished)
    assert str(error.value) == f"{finished} is a run of 'tiny', expected doom; choose another run folder"


def test_the_main_run_comes_first_and_is_not_repeated(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_run(finished, tmp_path / "run")
    ran: list[Path] = []

    def record(experiment: object, folder: Path, workers: int) -> None:
        ran.append(folder)
        shutil.copy(finished / "report.html", folder / "report.html")

    plan = Plan("tiny", (TINY_PLAN.rows[0],))
    monkeypatch.setitem(reproduce.PLANS, "tiny", lambda preset: plan)
    monkeypatch.setattr(reproduce, "run", record)
    (path / "report.html").unlink()
    for _ in range(2):
        found = reproduce.reproduce("tiny", None, path, 2, 0, workers=0)
        assert found.film == path / "reproduce" / "daydream.mp4"
    assert "The agent in its own dream" in found.page.read_text()
    assert ran == [path]


def test_only_what_was_not_played_is_played(found: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("played again")

    for name in ("evolve", "evaluate_agent", "evaluate_dream", "evaluate_policy"):
        monkeypatch.setattr(rows, name, fail)
    again = reproduce_run(open_run(found.run_dir), TINY_PLAN, EPISODES, SEED, workers=0)
    assert scores(again) == scores(found)


def test_what_the_world_taught_the_main_agent_counts(finished: Path, tmp_path: Path) -> None:
    """And no row that learned in the dream alone is taken for it."""
    run = open_run(copy_run(finished, tmp_path / "run"))
    main, own = Row("main", "main", MainAgent(), "tiny"), Evolved(first_round=True)
    with Workers(0) as pool:
        work = Work(run, Plan("tiny", (main,)), 2, 0, pool)
        before = budget_of(work, main)
        assert before is not None
        assert work.is_own_search(own)
        with MetricsLog(run.finetune / "metrics.jsonl", resume_step=0) as log:
            log.append(step=4, world_steps=500)
            log.append(step=8, world_steps=1000)
        after = budget_of(work, main)
        assert after == replace(before, updates=before.updates + 8, world_steps=before.world_steps + 1000)
        tuned = replace(run.experiment, finetune=FinetuneConfig(updates=8))
        assert not Work(replace(run, experiment=tuned), Plan("tiny", (main,)), 2, 0, pool).is_own_search(own)
