"""Minutes, disk and memory that a run takes, stage by stage, from rates that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from reverie.cost.rates import Rates, Training
from reverie.episodes.config import size_in_words
from reverie.learning.phases import Planned, planned
from reverie.recipe.budget import BUDGETS
from reverie.recipe.budgeted import collected_steps
from reverie.recipe.experiment import Experiment

VISION_INTERVAL, MEMORY_INTERVAL, CONTROLLER_SAVES = 500, 100, 10  # at most: updates between checkpoints, checkpoints
KEPT = 2  # checkpoints of a training
SELECTION_EPISODES = 20  # that the last round's C plays beside the scores
BEGIN_SECONDS, REPORT_SECONDS = 4.0, 4.0  # imports and the look at the end; the report's pictures
FILMED_EPISODES, FILMED_STEP = 4, 4.0  # a step that is filmed takes so many times that of one that is played
REPORT_BYTES = 2e6
LIKELY = 0.5  # how far between a random episode's length and the longest C's is expected, as a power
STAGES = ("collect", "vision", "encode", "memory", "controller", "evaluate", "report")


@dataclass(frozen=True)
class Stage:
    """One stage of one round: seconds, bytes that it leaves on disk."""

    round: int
    name: str
    seconds: float
    bytes: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """What a run takes. real_steps: that it learns from, those of C's phases in the world included."""

    world: str
    preset: str
    real_steps: int
    rounds: int
    stages: tuple[Stage, ...]
    peak_memory_mb: float

    @property
    def seconds(self) -> float:
        """From the first word to the last."""
        return BEGIN_SECONDS + sum(stage.seconds for stage in self.stages)

    @property
    def bytes(self) -> float:
        """On disk."""
        return sum(stage.bytes for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "world": self.world,
            "preset": self.preset,
            "real_steps": self.real_steps,
            "rounds": self.rounds,
            "minutes": round(self.seconds / 60, 2),
            "disk_mb": round(self.bytes / 1e6, 1),
            "peak_memory_mb": round(self.peak_memory_mb),
            "stages": [asdict(stage) for stage in self.stages],
        }

    def line(self) -> str:
        """All of it in a line."""
        rounds = f" in {self.rounds + 1} rounds" if self.rounds else ""
        return (
            f"about {minutes_in_words(self.seconds)}, {size_in_words(self.bytes)} of disk and "
            f"{self.peak_memory_mb / 1024:.1f} GiB of memory, for {self.real_steps:,} real steps{rounds}"
        )

    def table(self) -> str:
        """A row for each stage, all rounds together, for a terminal."""
        from rich.table import Table

        from reverie.evaluation.table import as_text

        table = Table(title=f"{self.world}: what the run would take", title_justify="left")
        for column in ("stage", "minutes", "share", "disk"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for name in STAGES:
            stages = [stage for stage in self.stages if stage.name == name]
            seconds, size = sum(stage.seconds for stage in stages), sum(stage.bytes for stage in stages)
            table.add_row(name, f"{seconds / 60:.1f}", f"{seconds / self.seconds:.0%}", size_in_words(size))
        return f"{as_text(table, width=60)}\n{self.line()}"


def estimate(experiment: Experiment, rates: Rates) -> Estimate:
    """What the experiment takes at these rates.

    How long C's episodes will be nobody knows: taken is a random one's at the budget of the smallest preset, from that
    of `quick` on the geometric mean of it and the longest.
    """
    rounds = range(experiment.rounds.count + 1)
    latents = sum(_collected(experiment, number, rates) for number in rounds) * _latent_bytes(experiment)
    stages = [stage for number in rounds for stage in _round(experiment, number, rates)]
    return Estimate(
        world=experiment.world,
        preset=experiment.preset,
        real_steps=round(
            sum(_collected(experiment, number, rates) + _learned(experiment, number, rates) for number in rounds)
        ),
        rounds=experiment.rounds.count,
        stages=tuple(stages),
        peak_memory_mb=rates.peak_mb + 2 * latents / 2**20,
    )


def seconds_of_round(experiment: Experiment, rates: Rates) -> float:
    """What a round more takes that is not the last."""
    longer = replace(experiment, rounds=replace(experiment.rounds, count=experiment.rounds.count + 2))
    return sum(stage.seconds for stage in _round(longer, experiment.rounds.count + 1, rates))


def _round(experiment: Experiment, number: int, rates: Rates) -> Iterator[Stage]:
    """The stages of a round."""
    config, last = experiment.in_round(number), number == experiment.rounds.count
    steps, length = _collected(experiment, number, rates), _length(experiment, rates, rates.cap)
    play = rates.act if number else rates.play
    start = 0.0 if experiment.data and not number else play.start
    yield Stage(number, "collect", start + steps * play.step, steps * rates.frame_bytes)
    sees = number == 0 or experiment.rounds.vision_updates > 0
    if sees:
        yield Stage(
            number,
            "vision",
            rates.vision.seconds(config.vision.updates, _saves(config.vision.updates, VISION_INTERVAL)),
            KEPT * rates.vision.bytes,
        )
    frames = sum(_collected(experiment, each, rates) for each in range(number + 1)) if sees else steps
    frames *= 2 if experiment.mirror else 1
    yield Stage(number, "encode", frames * rates.encode, frames * _latent_bytes(experiment))
    members = experiment.dream.ensemble_size
    saves = _saves(config.memory.updates, MEMORY_INTERVAL)
    yield Stage(
        number,
        "memory",
        members * rates.memory.seconds(config.memory.updates, saves),
        members * KEPT * rates.memory.bytes,
    )
    phases = _phases(experiment, number)
    seconds = sum(_phase_seconds(experiment, phase, rates) for phase in phases)
    trained = [rates.phases[phase.number - 1] for phase in phases]
    yield Stage(number, "controller", seconds, sum(KEPT * each.bytes for each in trained if each))
    episodes = experiment.evaluation_episodes
    if not last:
        episodes = experiment.rounds.evaluation_episodes or episodes
    dreams = episodes * length * rates.encode if experiment.trains_in_dream else 0.0
    scores = rates.act.start + episodes * length * rates.act.step + dreams
    if last:
        scores += episodes * rates.length * rates.play.step
        scores += SELECTION_EPISODES * length * rates.act.step if number else 0.0
    yield Stage(number, "evaluate", scores)
    if last:
        films = FILMED_EPISODES * length * FILMED_STEP * rates.act.step
        yield Stage(number, "report", REPORT_SECONDS + films, REPORT_BYTES)


def _collected(experiment: Experiment, number: int, rates: Rates) -> float:
    """Real steps that a round collects."""
    config = experiment.in_round(number).collect
    length = _length(experiment, rates, config.max_steps) if number else min(rates.length, config.max_steps)
    return max(config.steps, config.episodes * max(length, config.min_steps))


def _learned(experiment: Experiment, number: int, rates: Rates) -> float:
    """Real steps that C's phases of a round take."""
    return sum(
        _phase_steps(experiment, phase, rates)
        for phase in _phases(experiment, number)
        if rates.phases[phase.number - 1] is None
    )


def _latent_bytes(experiment: Experiment) -> float:
    """Of a frame: mu and logvar in 16 bits, the action, the reward."""
    return (4 * experiment.vision.latent_size + 4 * experiment.memory.action_size + 8) * (1 + experiment.mirror)


def _phases(experiment: Experiment, number: int) -> list[Planned]:
    return planned(experiment.phases, experiment.methods, number, experiment.rounds.count)


def _phase_seconds(experiment: Experiment, item: Planned, rates: Rates) -> float:
    training: Training | None = rates.phases[item.number - 1]
    updates = item.phase.updates
    if training is None:
        return rates.act.start + _phase_steps(experiment, item, rates) * rates.act.step
    if item.phase.method == "cmaes":  # a generation was measured with one episode of each candidate
        return training.start + updates * training.update * _episodes(item) / item.config.population
    return training.seconds(updates, min(updates, CONTROLLER_SAVES))


def _phase_steps(experiment: Experiment, item: Planned, rates: Rates) -> float:
    """Real steps of a phase in the world."""
    longest = min(rates.cap, getattr(item.config, "max_steps", None) or rates.cap)
    return item.phase.updates * _episodes(item) * _length(experiment, rates, longest)


def _episodes(item: Planned) -> float:
    """Episodes of an update, of a generation with its share of the re-scoring of five candidates."""
    if item.phase.method != "cmaes":
        return float(item.config.num_envs)
    return float(
        item.config.population * item.config.episodes + 5 * item.config.rescore_episodes / item.config.rescore_every
    )


def _length(experiment: Experiment, rates: Rates, longest: int) -> float:
    """Steps of an episode that C plays."""
    least, enough = BUDGETS["tiny"].real_steps, BUDGETS["quick"].real_steps
    way = math.log(max(1, collected_steps(experiment)) / least) / math.log(enough / least)
    random = min(rates.length, longest)
    return float(random * (longest / random) ** (LIKELY * min(1.0, max(0.0, way))))


def _saves(updates: int, longest: int) -> int:
    """Checkpoints of a training of V or M."""
    from reverie.files.training import checkpoint_interval

    return math.ceil(updates / checkpoint_interval(updates, longest))


def minutes_in_words(seconds: float) -> str:
    """`40 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
