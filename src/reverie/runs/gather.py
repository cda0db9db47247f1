"""The last stage: open all that a run has made and write its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reverie.report.inputs import ReportInputs
from reverie.report.recording import record_dream, record_world
from reverie.report.write import write_report
from reverie.report.rounds import RoundFilmed, film_round, shown_rounds
from reverie.recipe.experiment import can_dream
from reverie.runs.rounds import real_steps_by, steps_of_learning
from reverie.runs.opening import arena_of, load_agent
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.settings import to_json
from reverie.episodes.store import Store
from reverie.workers.seeds import evaluation_seeds
from reverie.worlds.registry import repeat_of, world_spec

T = TypeVar("T")
FILMED = 3  # episodes, of which the middle one is shown
SHOWN_EPISODES = 6
HELD_OUT = 40


def report(run: RunFolder, workers: int | str = 0, device: str = "auto") -> Path:
    """Stage 6: write report.html from whatever the run has so far; returns its path."""
    with run.timed("report"):
        return write_report(_inputs(run), run.report)


def _inputs(run: RunFolder) -> ReportInputs:
    scores = read_scores(run)
    store, rounds = Store(run.rollouts), [run.at(number) for number in range(run.round + 1)]
    shown = spread(store.entries, SHOWN_EPISODES)
    return ReportInputs(
        world=world_spec(run.experiment.world),
        agent=scores.get("agent"),
        random=scores.get("random"),
        dream=scores.get("dream"),
        episodes=[store.read(entry.index) for entry in shown],
        vision_metrics=run.vision / "metrics.jsonl",
        memory_metrics=run.memory / "metrics.jsonl",
        gradient_metrics=[one.gradient / "metrics.jsonl" for one in rounds],
        settle_metrics=run.settle / "metrics.jsonl",
        finetune_metrics=run.finetune / "metrics.jsonl",
        controller_metrics=[one.controller / "metrics.jsonl" for one in rounds],
        rounds=_rounds(rounds, store),
        evolved_in=run.experiment.evolution.where,
        config=to_json(run.experiment),
        versions=run.versions,
        seconds=run.timings,
        real_steps=real_steps(run, store),
        **_models(run),
        **_films(run),
    )


def spread(found: Sequence[T], count: int) -> list[T]:
    """At most `count` of them, from the first to the last: the last rounds' episodes are not those of exploration."""
    places = np.linspace(0, len(found) - 1, min(count, len(found)))
    return [found[round(place)] for place in places]


def real_steps(run: RunFolder, store: Store) -> int:
    """Steps taken in the real world to learn from: collecting, and where C was fine-tuned or evolved there."""
    return (store.total_steps + steps_of_learning(run)) * repeat_of(run.experiment.world)


def _rounds(rounds: Sequence[RunFolder], store: Store) -> list[RoundFilmed]:
    """The agents that rounds ended with, on one seed; none for a run of one pass."""
    from reverie.learning.cmaes import BEST_FILE

    done = [run for run in rounds if (run.controller / BEST_FILE).exists()]
    if len(done) < 2:
        return []
    (seed,) = evaluation_seeds(done[0].experiment.seed, "rounds", count=1)
    chosen = [done[place] for place in shown_rounds(len(done))]
    return [
        film_round(load_agent(run), run.round, real_steps_by(run, store.entries), read_scores(run).get("agent"), seed)
        for run in chosen
    ]


def _models(run: RunFolder) -> dict[str, Any]:
    """V, M and the latents to show them on, as far as they are trained."""
    from reverie.files.checkpoint import latest_checkpoint
    from reverie.memory.sequences import split_episodes
    from reverie.memory.train import load_memory
    from reverie.vision.latents import Latents
    from reverie.vision.train import load_vision

    found: dict[str, Any] = {}
    if latest_checkpoint(run.vision):
        found["vision"] = load_vision(run.vision)
    if latest_checkpoint(run.memory):
        latents = Latents(run.latents)
        seen, unseen = split_episodes(latents, run.experiment.memory.held_out_every)
        found["memory"] = load_memory(run.memory)
        found["latents"] = [latents.episode(index) for index in spread(unseen or seen, HELD_OUT)]
    return found


def _films(run: RunFolder) -> dict[str, Any]:
    """The agent in the real world and, where M can dream its world, in its dream."""
    from reverie.learning.arena import close_arenas, open_dream
    from reverie.learning.cmaes import BEST_FILE

    if not (run.controller / BEST_FILE).exists():
        return {}
    agent = load_agent(run)
    params = agent.params[0].double().cpu().numpy()
    seeds = evaluation_seeds(run.experiment.seed, "films", count=FILMED)
    found: dict[str, Any] = {"awake": record_world(agent, seeds), "controller_parameters": len(params)}
    if can_dream(run.experiment, world_spec(run.experiment.world)):
        try:
            found["asleep"] = record_dream(open_dream(arena_of(run, "dream")), params, agent.senses.vision, seeds)
        finally:
            close_arenas()
    return found
