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
from reverie.files.metrics import read_metrics
from reverie.learning.cma import CMAES
from reverie.learning.phases import BEST_FILE, Phase
from reverie.memory.model import MDNRNN
from reverie.memory.train import load_memory
from reverie.reproduction import reproduce, rows
from reverie.reproduction.context import Context
from reverie.reproduction.plan import FreshC, MainAgent, Plan, Row
from reverie.reproduction.reproduce import main_experiment, reproduce_run
from reverie.reproduction.results import Reproduction, training_cost
from reverie.runs.run_folder import RunFolder, open_run
from reverie.runs.verify import verify_run
from reverie.workers.pool import Workers
from reverie.workers.seeds import torch_seed
from tests.reproduction.parts import ELSEWHERE, EPISODES, SEED, TINY_PLAN, Z_HIDDEN
from tests.small_runs import copy_run, flip, snapshot

OWN = TINY_PLAN.phases


def scores(reproduction: Reproduction) -> dict[str, Any]:
    return {one.row.name: (one.dream, one.real) for one in reproduction.results}


def kept(run: Path) -> dict[str, Any]:
    """What tells whether any work of the rows was written since; times and the page aside."""
    files = snapshot(run / "reproduce")
    return {name: stat for name, stat in files.items() if "/" in name}


def test_every_row_is_scored_on_the_same_unseen_seeds(reproduction: Reproduction) -> None:
    assert [one.row for one in reproduction.results] == list(TINY_PLAN.rows)
    for result in reproduction.results:
        assert (result.real.episodes, result.real.seed) == (EPISODES, SEED)
        assert (result.real.where, result.real.world) == ("world", result.row.world)
    assert len(set(world_seeds(SEED, EPISODES)) | set(dream_seeds(SEED, EPISODES))) == 2 * EPISODES


def test_dreams_are_scored_at_the_temperature_of_their_training(reproduction: Reproduction) -> None:
    taus = {one.row.name: one.temperature for one in reproduction.results}
    trained = {"main": 1.0, "tau-0.50": 0.5, "tau-1.30": 1.3, "trained-m": 1.0, "untrained-m": 1.0}
    awake = ("random", "sweep-10", "blinded", "elsewhere", "z-in-world", "raw-in-world")
    assert taus == dict.fromkeys(awake) | trained
    for name, tau in trained.items():
        dream = reproduction.of(name).dream
        assert dream is not None
        assert (dream.temperature, dream.where, dream.episodes, dream.seed) == (tau, "dream", EPISODES, SEED)


def test_each_row_says_what_it_learned_from(reproduction: Reproduction) -> None:
    steps = {one.row.name: one.real_steps for one in reproduction.results}
    assert steps["random"] == steps["sweep-10"] == 0
    assert 0 < steps["tau-0.50"] == steps["tau-1.30"] < steps["main"] == steps["untrained-m"] == steps["elsewhere"]
    assert reproduction.of("main").seconds > sum(open_run(reproduction.run_dir).timings.values()) - 1
    for name in ("z-in-world", "raw-in-world"):
        budget = reproduction.of(name).cost
        assert budget is not None
        assert steps[name] == steps["main"] + budget.world_steps


def test_what_each_was_trained_with_is_told(reproduction: Reproduction) -> None:
    budgets = {one.row.name: one.cost for one in reproduction.results if one.cost is not None}
    assert set(budgets) == {"main", "tau-0.50", "tau-1.30", "trained-m", "untrained-m", "z-in-world", "raw-in-world"}
    parameters = {name: budget.parameters for name, budget in budgets.items()}
    assert (parameters["main"], parameters["z-in-world"]) == (8 + 8 + 1, 8 * 3 + 3 + 3 + 1)
    for name, budget in budgets.items():
        assert (budget.dream_steps > 0, budget.world_steps > 0) == (
            not name.endswith("in-world"),
            name.endswith("in-world"),
        )
    assert (budgets["main"].updates, budgets["main"].generations) == (0, 2 + 1)  # of both rounds
    for name, budget in budgets.items():
        assert name == "main" or (budget.updates, budget.generations) == (1, 2)
        assert budget.seconds > 0


def test_whoever_learned_is_scored_in_the_plans_engine(reproduction: Reproduction) -> None:
    driven = {one.row.name: one.engine for one in reproduction.results if one.engine is not None}
    learned = {row.name for row in TINY_PLAN.rows if isinstance(row.player, FreshC)}
    assert set(driven) == {"main", *learned}
    for name, score in driven.items():
        result = reproduction.of(name)
        assert (score.world, score.episodes, score.seed) == (ELSEWHERE, EPISODES, SEED)
        assert result.gap == score.mean - result.real.mean
    assert reproduction.of("random").gap is None


def test_in_the_world_c_may_have_another_shape_and_m_random_weights(reproduction: Reproduction) -> None:
    run = open_run(reproduction.run_dir)
    with Workers(0) as pool:
        context = Context(run, TINY_PLAN, EPISODES, SEED, pool)
        z, raw = (context.trained(reproduction.of(name).row) for name in ("z-in-world", "raw-in-world"))
    assert z.agent().senses.memory is None
    assert z.agent().controller.config == Z_HIDDEN
    assert raw.parts.memory == run.path / "reproduce" / "raw-in-world" / "memory"
    assert raw.agent().senses.memory is not None
    assert (raw.parts.vision, z.parts.vision) == (run.vision, run.vision)


def test_the_agents_are_what_their_rows_say(reproduction: Reproduction) -> None:
    run = open_run(reproduction.run_dir)
    with Workers(0) as pool:
        context = Context(run, TINY_PLAN, EPISODES, SEED, pool)
        trained = {one.row.name: context.trained(one.row) for one in reproduction.results}
    assert trained["tau-0.50"].parts.memory == run.at(0).memory != run.memory
    assert trained["trained-m"].parts.memory == trained["main"].parts.memory == run.memory
    assert trained["main"].parts.controller == run.controller / BEST_FILE
    untrained = load_memory(trained["untrained-m"].parts.memory)
    random = MDNRNN(run.experiment.memory, torch_seed(run.experiment.seed, "memory", "weights"))
    for name, weight in random.state_dict().items():
        if name != "reward_scale":
            assert (untrained.state_dict()[name] == weight).all(), name
    assert (untrained.hidden_weight != load_memory(run.memory).hidden_weight).any()


def test_blindness_and_an_untrained_memory_change_what_happens(reproduction: Reproduction) -> None:
    assert reproduction.of("blinded").real.scores != reproduction.of("main").real.scores
    twin, untrained = reproduction.of("trained-m"), reproduction.of("untrained-m")
    assert twin.dream is not None
    assert untrained.dream is not None
    assert twin.dream.scores != untrained.dream.scores
    assert reproduction.of("elsewhere").real.world == ELSEWHERE


def test_it_is_told_in_json_on_a_page_and_on_film(reproduction: Reproduction) -> None:
    folder = reproduction.run_dir / "reproduce"
    told = json.loads((folder / "reproduce.json").read_text())
    assert told == json.loads(json.dumps(reproduction.as_dict()))
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
    html = reproduction.page.read_text()
    for row in TINY_PLAN.rows:
        assert row.label in html
    assert "data:video/mp4" in html
    assert reproduction.film == folder / "exploit.mp4"
    for name in ("transfer.png", "learning.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_done_rows_stay_as_they_are(reproduction: Reproduction) -> None:
    before = kept(reproduction.run_dir)
    again = reproduce_run(open_run(reproduction.run_dir), TINY_PLAN, EPISODES, SEED, workers=0)
    assert scores(again) == scores(reproduction)
    assert kept(reproduction.run_dir) == before


def test_interrupted_between_two_rows_it_goes_on(
    two_rounds: Path, tmp_path: Path, reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(two_rounds, tmp_path / "run")
    with monkeypatch.context() as patched:
        interrupt(patched, reproduce, "finish_row", call=5)
        with pytest.raises(KeyboardInterrupt):
            reproduce_run(open_run(run), TINY_PLAN, EPISODES, SEED, workers=0)
    before = kept(run)
    assert {name.split("/")[0] for name in before} == {"main", "tau-0.50", "tau-1.30", "random"}
    again = reproduce_run(open_run(run), TINY_PLAN, EPISODES, SEED, workers=0)
    assert kept(run).items() >= before.items()
    assert scores(again) == scores(reproduction)


def test_interrupted_within_a_search_it_ends_in_the_same_bits(
    two_rounds: Path, tmp_path: Path, reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(two_rounds, tmp_path / "run")
    plan = replace(TINY_PLAN, rows=TINY_PLAN.rows[:2], comparisons=())
    with monkeypatch.context() as patched:
        interrupt(patched, CMAES, "tell", call=2)
        with pytest.raises(KeyboardInterrupt):
            reproduce_run(open_run(run), plan, EPISODES, SEED, workers=0)
    assert (run / "reproduce" / "tau-0.50" / "controller" / "2-cmaes-dream" / "step-00000001.json").exists()
    again = reproduce_run(open_run(run), plan, EPISODES, SEED, workers=0)
    assert scores(again) == {name: scores(reproduction)[name] for name in ("main", "tau-0.50")}
    best = Path("reproduce", "tau-0.50", "controller", BEST_FILE)
    ours, theirs = (load_controller(path / best)[1] for path in (run, reproduction.run_dir))
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


def in_dreams_alone(run: RunFolder) -> RunFolder:
    """As if the run had no phase in the world."""
    dreamt = tuple(phase for phase in run.experiment.phases if phase.place == "dream")
    return replace(run, experiment=replace(run.experiment, phases=dreamt))


def test_a_row_that_is_the_runs_own_search_takes_its_c(finished: Path, tmp_path: Path) -> None:
    run = in_dreams_alone(open_run(copy_run(finished, tmp_path / "run")))
    tau = run.experiment.dream.temperature
    plan = Plan(
        "tiny",
        (
            Row("own", "own", FreshC(tau, first_round=True), "tiny"),
            Row("warmer", "warmer", FreshC(tau + 0.1, first_round=True), "tiny"),
            Row("last", "last", FreshC(), "tiny"),
        ),
    )
    reproduction = reproduce_run(run, plan, 2, 0, workers=0)
    made = [path.parent.name for path in sorted((run.path / "reproduce").glob("*/controller"))]
    assert made == ["warmer"]
    assert reproduction.of("own").real == reproduction.of("last").real != reproduction.of("warmer").real
    assert reproduction.of("own").real_steps == reproduction.of("last").real_steps > 0
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
                    Row("first", "first", FreshC(run.experiment.dream.temperature, first_round=True), "tiny"),
                    Row("last", "last", FreshC(), "tiny"),
                    Row("untrained", "untrained", FreshC(untrained=True), "tiny"),
                ),
                phases=OWN,
            )
            context = Context(run, plan, 2, 0, pool)
            folders = [context.folder_of(row).path.name for row in plan.rows]
            assert folders == ["first", "first" if shared else "last", "untrained"]


def test_an_existing_run_is_taken_as_it_is(finished: Path, tmp_path: Path) -> None:
    reproduction = open_run(finished).experiment
    assert main_experiment("tiny", None, finished) == main_experiment("tiny", "tiny", finished) == reproduction
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
        reproduction = reproduce.reproduce("tiny", None, path, 2, 0, workers=0)
        assert reproduction.film == path / "reproduce" / "daydream.mp4"
    assert "The agent in its own dream" in reproduction.page.read_text()
    assert ran == [path]


def test_only_what_was_not_played_is_played(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("played again")

    for name in ("train_controller", "evaluate_agent", "evaluate_dream", "evaluate_policy"):
        monkeypatch.setattr(rows, name, fail)
    again = reproduce_run(open_run(reproduction.run_dir), TINY_PLAN, EPISODES, SEED, workers=0)
    assert scores(again) == scores(reproduction)


def test_what_the_world_taught_the_main_agent_counts(finished: Path) -> None:
    """And no row that learned in another way is taken for it."""
    run = open_run(finished)
    main, own = Row("main", "main", MainAgent(), "tiny"), FreshC(first_round=True)
    phases = run.experiment.phases
    with Workers(0) as pool:
        alike = Context(
            run, Plan("tiny", (main,), phases=tuple(replace(one, place="dream") for one in phases)), 2, 0, pool
        )
        budget = training_cost(alike, main)
        assert budget is not None
        assert (budget.updates, budget.generations) == (5, 3)
        assert budget.world_steps == read_metrics(run.phase_folders[1] / "metrics.jsonl")[-1]["world_steps"] > 0
        assert not alike.is_main_controller(own)
        context = Context(in_dreams_alone(run), Plan("tiny", (main,)), 2, 0, pool)
        assert context.is_main_controller(own)
        longer = replace(context, plan=Plan("tiny", (main,), phases=(Phase("ppo", "dream", 99),)))
        assert not longer.is_main_controller(own)
