"""Scores of a run: the agent and the random policy in the real world, the agent in its dream; whose C they are of.

Rounds can get worse. What the C of an earlier round is worth, the undisturbed episodes of the next round's collecting
tell for nothing; the last one plays some of its own. An earlier C takes its place only where it is better on those
same seeds too. The seeds that scores are reported on play no part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from reverie.agents.trained import Trained, at_temperature
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.evaluation.score import Score, evaluate_agent, evaluate_dream, evaluate_random, returns_on
from reverie.evaluation.table import score_table
from reverie.feature_env import Place
from reverie.files.atomic import read_json, write_json
from reverie.files.checkpoint import latest_checkpoint
from reverie.learning.phases import BEST_FILE
from reverie.runs.opening import load_agent, steps_to_cut, trained_in
from reverie.runs.run_folder import SELECTION, RunFolder
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds

SEED = 0  # root of the evaluation seeds of a run's own scores
SELECTION_EPISODES = 20  # that the last round's C plays, to be compared with earlier ones


@dataclass(frozen=True)
class Scored:
    """A score, and the random policy's in the real world beside it."""

    score: Score
    random: Score

    def as_dict(self) -> dict[str, Any]:
        """The score's fields, and `random` {mean, std}."""
        return self.score.as_dict() | {"random": {"mean": self.random.mean, "std": self.random.std}}

    def table(self) -> str:
        """Both, for a terminal."""
        temperature = self.score.temperature
        place = "agent" if temperature is None else f"agent in its dream, tau {temperature:g}"
        return score_table(self.score.world, {place: self.score, "random policy": self.random})


def score(
    trained: Trained,
    place: Place,
    episodes: int,
    seed: int,
    temperature: float | None,
    workers: int | str,
) -> Scored:
    """Score an agent over `episodes` unseen episodes, in the real world or in its dream at `temperature`.

    temperature: tau of a dream; None is the one that it was trained at
    """
    with Workers(workers) as pool:
        scored = SCORES[place](trained, episodes, seed, temperature, pool)
        return Scored(scored, evaluate_random(trained.experiment.world, episodes, seed, pool))


def evaluate(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 5: the run's own scores, one file each; those that are there stay."""
    _require_trained(run)
    experiment = run.experiment
    episodes = run.scored_episodes
    with run.timed("evaluate"), Workers(workers) as pool:
        select(run, pool)
        found, chosen, steps = read_scores(run), run.chosen, steps_to_cut(run)
        if "random" not in found and run.is_last:
            _write(run, "random", evaluate_random(experiment.world, episodes, SEED, pool, steps))
        if "agent" not in found:
            _write(run, "agent", evaluate_agent(load_agent(chosen), episodes, SEED, pool, max_steps=steps))
        if "dream" not in found and experiment.trains_in_dream:
            _write(run, "dream", _dream(trained_in(chosen), episodes, SEED, None, pool))


def read_scores(run: RunFolder) -> dict[str, Score]:
    """The scores that `evaluate` has written so far: agent, random, dream."""
    return {file.stem: Score.from_dict(read_json(file), str(file)) for file in sorted(run.scores.glob("*.json"))}


def _dream(trained: Trained, episodes: int, seed: int, temperature: float | None, pool: Workers) -> Score:
    env = trained.env("dream")
    env = replace(env, dream=at_temperature(env.dream, temperature))
    return evaluate_dream(env, trained.params, episodes, seed, pool)


def _world(trained: Trained, episodes: int, seed: int, temperature: float | None, pool: Workers) -> Score:
    return evaluate_agent(trained.agent(), episodes, seed, pool)


SCORES = {"dream": _dream, "world": _world}


def _write(run: RunFolder, name: str, score: Score) -> None:
    run.scores.mkdir(parents=True, exist_ok=True)
    write_json(run.scores / f"{name}.json", score.as_dict())


def _require_trained(run: RunFolder) -> None:
    for phase, folder in zip(run.phases, run.phase_folders, strict=True):
        checkpoint, wanted = latest_checkpoint(folder), phase.phase.updates
        done = 0 if checkpoint is None else checkpoint.step
        if done < wanted:
            raise ReverieError(f"{folder} has {done} of {wanted} updates; run `reverie controller {run.path}` first")
    if not (run.controller / BEST_FILE).exists():
        raise ReverieError(f"{run.controller} has no {BEST_FILE}; run `reverie controller {run.path}` first")


def select(run: RunFolder, workers: Workers) -> None:
    """Write down which round's C the run ends with, where it has rounds and is at its last."""
    file = run.path / SELECTION
    if file.exists() or not run.round or not run.is_last:
        return
    means = {str(number): _brief(returns) for number, returns in enumerate(_collected_returns(run)) if returns}
    seeds, steps = training_seeds(run.seed, "selection", count=SELECTION_EPISODES), steps_to_cut(run)
    last = returns_on(load_agent(run), seeds, workers, max_steps=steps)
    chosen, best = run.round, float(np.mean(last))
    rival = max(means, key=lambda number: means[number]["mean"], default=None)
    if rival is not None and _beats(means[rival], _brief(last)):
        again = returns_on(load_agent(run.at(int(rival))), seeds, workers, max_steps=steps)
        if float(np.mean(again)) > best:
            chosen = int(rival)
    write_json(file, {"chosen": chosen, "rounds": means | {str(run.round): _brief(last)}})


def _collected_returns(run: RunFolder) -> list[list[float]]:
    """For each round but the last, the returns of its C's undisturbed episodes, which the next round collected."""
    entries = Store(run.rollouts).entries
    ends = [run.episodes_by(number) for number in range(run.round + 1)]
    return [
        [entry.total_reward for entry in entries if first <= entry.index < last and entry.policy == "agent"]
        for first, last in pairwise(ends)
    ]


def _brief(returns: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(returns)), "std": float(np.std(returns)), "episodes": len(returns)}


def _beats(rival: dict[str, float], last: dict[str, float]) -> bool:
    """Whether the difference of the means is more than its standard error."""
    error = math.sqrt(sum(each["std"] ** 2 / each["episodes"] for each in (rival, last)))
    return rival["mean"] - last["mean"] > error
