"""Scores of a run: the agent and the random policy in the real world, the agent in its dream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from reverie.errors import ReverieError
from reverie.evaluation.score import Score, evaluate_agent, evaluate_dream, evaluate_random
from reverie.files.atomic import read_json, write_json
from reverie.files.checkpoint import latest_checkpoint
from reverie.runs.opening import load_agent, trained_in
from reverie.runs.run_folder import RunFolder
from reverie.evaluation.table import score_table
from reverie.agents.trained import Trained, at_temperature
from reverie.workers.pool import Workers

SEED = 0  # root of the evaluation seeds of a run's own scores


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
    where: Literal["dream", "world"],
    episodes: int,
    seed: int,
    temperature: float | None,
    workers: int | str,
) -> Scored:
    """Score an agent over `episodes` unseen episodes, in the real world or in its dream at `temperature`.

    temperature: tau of a dream; None is the one that it was trained at
    """
    with Workers(workers) as pool:
        if where == "dream":
            scored = _dream(trained, episodes, seed, temperature, pool)
        else:
            scored = evaluate_agent(trained.agent(), episodes, seed, pool)
        return Scored(scored, evaluate_random(trained.experiment.world, episodes, seed, pool))


def evaluate(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 5: the run's own scores, one file each; those that are there stay."""
    _require_evolved(run)
    experiment = run.experiment
    episodes = run.scored_episodes
    with run.timed("evaluate"), Workers(workers) as pool:
        found = read_scores(run)
        if "random" not in found and run.is_last:
            _write(run, "random", evaluate_random(experiment.world, episodes, SEED, pool))
        if "agent" not in found:
            _write(run, "agent", evaluate_agent(load_agent(run), episodes, SEED, pool))
        if "dream" not in found and experiment.evolution.where == "dream":
            _write(run, "dream", _dream(trained_in(run), episodes, SEED, None, pool))


def read_scores(run: RunFolder) -> dict[str, Score]:
    """The scores that `evaluate` has written so far: agent, random, dream."""
    return {file.stem: Score.from_dict(read_json(file), str(file)) for file in sorted(run.scores.glob("*.json"))}


def _dream(trained: Trained, episodes: int, seed: int, temperature: float | None, pool: Workers) -> Score:
    arena = trained.arena("dream")
    arena = replace(arena, dream=at_temperature(arena.dream, temperature))
    return evaluate_dream(arena, trained.params, episodes, seed, pool)


def _write(run: RunFolder, name: str, score: Score) -> None:
    run.scores.mkdir(parents=True, exist_ok=True)
    write_json(run.scores / f"{name}.json", score.as_dict())


def _require_evolved(run: RunFolder) -> None:
    wanted = run.plan.evolution.generations
    checkpoint = latest_checkpoint(run.controller)
    done = 0 if checkpoint is None else checkpoint.step
    if done < wanted:
        raise ReverieError(
            f"{run.controller} has {done} of {wanted} generations; run `reverie controller {run.path}` first"
        )
