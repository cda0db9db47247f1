"""What a reader is told of a run: its report, the last stage, and the diagnosis of `reverie doctor RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.evaluation.diagnosis import Diagnosis, diagnose
from reverie.evaluation.table import as_text
from reverie.memory.sequences import split_episodes
from reverie.recipe.experiment import can_dream
from reverie.report.inputs import PhaseCurve, ReportInputs
from reverie.report.recording import RoundFilm, film_round, record_dream, record_world, shown_rounds
from reverie.report.write import write_report
from reverie.runs.opening import encoded, env_of, load_agent, require_trained, steps_to_cut, trained_in
from reverie.runs.rounds import real_steps_by, steps_of_learning
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.settings import to_json
from reverie.workers.seeds import evaluation_seeds
from reverie.worlds.registry import repeat_of, world_spec

T = TypeVar("T")
FILMED = 3  # episodes, of which the middle one is shown
SHOWN_EPISODES = 6
HELD_OUT = 40
EXAMINED_EPISODES, EXAMINED_FRAMES = 32, 256  # by the diagnosis


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
        phases=[
            PhaseCurve(phase.number, phase.phase, one.round, folder / "metrics.jsonl")
            for one in rounds
            for phase, folder in zip(one.phases, one.phase_folders, strict=True)
        ],
        rounds=_rounds(rounds, store),
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


def _rounds(rounds: Sequence[RunFolder], store: Store) -> list[RoundFilm]:
    """The agents that rounds ended with, on one seed; none for a run of one pass."""
    from reverie.learning.phases import BEST_FILE

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
    from reverie.memory.train import load_memory
    from reverie.vision.latents import Latents
    from reverie.vision.train import load_vision

    found: dict[str, Any] = {}
    if latest_checkpoint(run.vision):
        found["vision"] = load_vision(run.vision)
    if latest_checkpoint(run.memory):
        latents = Latents(run.latents)
        seen, unseen = split_episodes(latents)
        found["memory"] = load_memory(run.memory)
        found["latents"] = [latents.episode(index) for index in spread(unseen or seen, HELD_OUT)]
    return found


def _films(run: RunFolder) -> dict[str, Any]:
    """The agent in the real world and, where M can dream its world, in its dream."""
    from reverie.learning.phases import BEST_FILE
    from reverie.play.env_spec import close_envs

    if not (run.controller / BEST_FILE).exists():
        return {}
    run = run.chosen
    agent = load_agent(run)
    seeds = evaluation_seeds(run.experiment.seed, "films", count=FILMED)
    found: dict[str, Any] = {
        "awake": record_world(agent, seeds, steps_to_cut(run)),
        "controller_parameters": agent.controller.parameter_count,
    }
    if can_dream(run.experiment, world_spec(run.experiment.world)):
        try:
            (engine,) = env_of(run, "dream").engines()
            found["asleep"] = record_dream(engine, agent, agent.senses.vision, seeds)
        finally:
            close_envs()
    return found


def examine(run: RunFolder) -> Diagnosis:
    """Look at a run, as far as it is; raises ReverieError before M is trained."""
    require_trained(run, "memory")
    latents, store, trained = encoded(run), Store(run.rollouts), trained_in(run)
    seen, unseen = split_episodes(latents)
    places = [index for index in (unseen or seen) if index >= 0]
    if not places:
        raise ReverieError(f"{run.path} has no episode to look at; run `reverie collect {run.path}` first")
    spread = np.unique(np.linspace(0, len(places) - 1, min(EXAMINED_EPISODES, len(places))).round().astype(int))
    chosen = [places[place] for place in spread]
    each = -(-EXAMINED_FRAMES // len(chosen))
    frames = np.concatenate([_some(store.read(index).frames, each) for index in chosen])
    scores = read_scores(run)
    entries = [latents.episode(index).rewards for index in (index for index in seen + unseen if index >= 0)]
    return diagnose(
        trained.vision,
        trained.memory,
        trained.spec.actions,
        frames,
        [latents.episode(index) for index in chosen],
        np.concatenate(entries),
        scores.get("agent"),
        scores.get("random"),
        scores.get("dream"),
    )


def diagnosis_table(run: RunFolder, diagnosis: Diagnosis) -> str:
    """The figures and the verdict, for a terminal."""
    from rich.table import Table

    table = Table(title=f"{run.experiment.world}: is it learning?", title_justify="left")
    for column in ("part", "figure", "value", "", "what it says"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in diagnosis.figures:
        value = "-" if figure.value is None else f"{figure.value:.3g}"
        table.add_row(figure.part, figure.name, value, "ok" if figure.ok else "poor", figure.meaning)
    return f"{as_text(table, width=118)}\n\n{diagnosis.verdict}"


def _some(frames: np.ndarray, count: int) -> np.ndarray:
    """At most `count` frames, spread over an episode."""
    places = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return frames[places]
