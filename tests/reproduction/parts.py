"""A plan for the tiny world with a row of every kind, and results that no run has brought."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.controller.config import ControllerConfig
from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.learning.phases import Phase
from reverie.reproduction.paired_test import compare
from reverie.reproduction.paper_tables import carracing_plan, doom_plan
from reverie.reproduction.plan import BlindPolicy, Engine, FreshC, MainAgent, Plan, Row
from reverie.reproduction.results import Reproduction, RowResult, TrainingCost

EPISODES, SEED = 4, 3
ELSEWHERE = "reverie.worlds.tiny:reverie/Tiny-v0"  # the same game behind another door
Z_HIDDEN = ControllerConfig(inputs=("z",), hidden_size=3)

TINY_PLAN = Plan(
    world="tiny",
    rows=(
        Row("main", "main agent", MainAgent(), "tiny", "What the run ends with.", paper_real=Figure(90, 9)),
        Row("tau-0.50", "trained at τ 0.50", FreshC(0.5, first_round=True), "tiny", "", Figure(99, 1), Figure(12, 5)),
        Row("tau-1.30", "trained at τ 1.30", FreshC(1.3, first_round=True), "tiny", "", Figure(50, 9), Figure(40, 5)),
        Row("random", "random policy", BlindPolicy("uniform"), "tiny"),
        Row("sweep-10", "blind sweep", BlindPolicy("sweep-10"), "tiny"),
        Row("blinded", "main agent, blinded", MainAgent(blinded=True), "tiny"),
        Row("trained-m", "C on the trained M", FreshC(), "tiny"),
        Row("untrained-m", "C on an untrained M", FreshC(untrained=True), "tiny"),
        Row("elsewhere", "main agent, elsewhere", MainAgent(), ELSEWHERE),
        Row("z-in-world", "z alone, in the world", FreshC(place="world", controller=Z_HIDDEN), "tiny"),
        Row("raw-in-world", "untrained M, in the world", FreshC(place="world", untrained=True), "tiny"),
    ),
    comparisons=(("main", "sweep-10"), ("trained-m", "untrained-m")),
    phases=(Phase("ppo", "dream", 1), Phase("cmaes", "dream", 2, overrides=(("rescore_every", 1),))),
    references=(("best of others", Figure(70, 7)),),
    engine=Engine(ELSEWHERE, "Elsewhere"),
)


def score(mean: float, std: float, dream: bool = False, world: str = "doom") -> Score:
    """Half of 100 episodes one std above the mean, half below, in an order of its own."""
    spread = mean + std * np.random.default_rng(abs(int(mean))).permutation(np.resize([-1.0, 1.0], 100))
    return Score.of(spread.tolist(), world, 0, "dream" if dream else "world", 1.15 if dream else None)


def doom_like(reals: dict[str, float], folder: Path = Path("there")) -> Reproduction:
    """The Doom plan with these mean scores in reality; the dream of tau scores 2,000 less 1,000 times tau."""
    plan, results = doom_plan("standard"), []
    for row in plan.rows:
        tau = row.player.temperature if isinstance(row.player, FreshC) else 1.15 if row.name == "main" else None
        dream = None if tau is None else score(2000 - 1000 * tau, 50, dream=True)
        real = score(reals.get(row.name, 300.0), 100, world=row.world)
        results.append(RowResult(row, tau, dream, real, 61.0, 12_345))
    reality = {result.row.name: result.real for result in results}
    tests = tuple(compare(a, reality[a], b, reality[b]) for a, b in plan.comparisons)
    return Reproduction(folder, "standard", plan, tuple(results), tests, 125.0, folder / "reproduce.html", None)


def car_like(reals: dict[str, float], folder: Path = Path("there")) -> Reproduction:
    """The car's plan with these mean scores in reality; in EnvPool each agent scores 20 more."""
    plan, results = carracing_plan("standard"), []
    for row in plan.rows:
        budget = None if isinstance(row.player, BlindPolicy) else TrainingCost(867, 0, 40, 0, 3_000_000, 3601.0)
        real = score(reals.get(row.name, 300.0), 100, world="carracing")
        engine = None if budget is None else score(real.mean + 20, 100, world="carracing-envpool")
        results.append(RowResult(row, None, None, real, 61.0, 12_345, engine, budget))
    reality = {result.row.name: result.real for result in results}
    tests = tuple(compare(a, reality[a], b, reality[b]) for a, b in plan.comparisons)
    return Reproduction(folder, "standard", plan, tuple(results), tests, 125.0, folder / "reproduce.html", None)
