"""What the rows of a table share: a finished run, a folder for each row, and which V, M, C and dream a row takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reverie.agents.trained import Trained, at_temperature
from reverie.controller.config import ControllerConfig
from reverie.errors import DamagedFileError
from reverie.evaluation.score import Score
from reverie.feature_env import Place
from reverie.files.atomic import read_json, read_object, write_json
from reverie.learning.phases import BEST_FILE, Phase, Planned, planned
from reverie.recipe.experiment import can_dream
from reverie.reproduction.plan import FreshC, MainAgent, Plan, Row
from reverie.runs.opening import trained_in
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.workers.pool import Workers
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

if TYPE_CHECKING:
    from reverie.play.env_spec import EnvSpec
    from reverie.play.loop import Limits

REMEDY = "remove the file"

Scored = Literal["dream", "world", "engine"]  # where a score was taken: engine is the plan's


@dataclass(frozen=True)
class RowFolder:
    """`controller/` and `memory/` as in a run folder; `scores/`, a file for each `Scored`; `timings.json`."""

    path: Path

    @property
    def controller(self) -> Path:
        """The training of the row's own C."""
        return self.path / "controller"

    @property
    def memory(self) -> Path:
        """The row's own M, where it has one."""
        return self.path / "memory"

    @property
    def seconds(self) -> float:
        """Wall seconds spent on the row so far, but for sessions that were killed."""
        file = self.path / "timings.json"
        seconds = read_object(file, REMEDY).get("seconds", 0.0) if file.exists() else 0.0
        if not isinstance(seconds, int | float):
            raise DamagedFileError(f"{file} has {seconds!r}, expected seconds; {REMEDY}")
        return seconds

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the wall time of a `with` block to `seconds`, also when it is interrupted."""
        before, started = self.seconds, time.monotonic()
        try:
            yield
        finally:
            write_json(self.path / "timings.json", {"seconds": before + time.monotonic() - started})

    def score(self, place: Scored, episodes: int, seed: int, play: Callable[[], Score], known: Score | None) -> Score:
        """The score over so many episodes of this seed: `known`, or the one in the folder, or that of `play`."""
        file = self.path / "scores" / f"{place}.json"
        saved = Score.from_dict(read_json(file), str(file)) if file.exists() else None
        for score in (known, saved):
            if score is not None and (score.episodes, score.seed) == (episodes, seed):
                return score
        with self.timed():
            score = play()
            write_json(file, score.as_dict())
        return score


@dataclass(frozen=True)
class Context:
    """A finished run, the plan of the table, and the episodes and the seed of all scores."""

    run: RunFolder
    plan: Plan
    episodes: int
    seed: int
    pool: Workers

    @cached_property
    def own_scores(self) -> dict[str, Score]:
        """The scores of the run itself: agent, random, dream."""
        return read_scores(self.run)

    @property
    def spec(self) -> WorldSpec:
        """The main world."""
        return world_spec(self.plan.world)

    @property
    def folder(self) -> Path:
        """The folder of all rows."""
        return self.run.reproduced

    def phases(self, player: FreshC) -> list[Planned]:
        """How a row's own C is trained."""
        experiment = self.run.experiment
        usual = [one.phase for one in planned(experiment.phases, experiment.methods, 0, experiment.rounds.count)]
        chosen = usual if self.plan.phases is None else self.plan.phases
        return planned([_in_place(phase, player.place) for phase in chosen], experiment.methods, 0, 0)

    def is_main(self, row: Row) -> bool:
        """Whether this is the run's own agent in its own world."""
        return row.player == MainAgent() and row.world == self.plan.world

    def is_main_controller(self, player: FreshC) -> bool:
        """Whether the row's C would be trained exactly as the run's own, so that it need not be trained again."""
        experiment = self.run.experiment
        in_the_same_dream = player.place == "world" or self.temperature(player) == experiment.dream.temperature
        on_the_same_m = in_the_same_dream and not player.untrained
        of_the_same_shape = self.controller(player) == experiment.controller
        from_scratch = experiment.rounds.count == 0 and experiment.start_from is None
        the_same_way = _what_counts(self.phases(player)) == _what_counts(self.run.at(0).phases)
        return on_the_same_m and of_the_same_shape and the_same_way and from_scratch

    def has_dream_score(self, row: Row) -> bool:
        """Whether it is scored in a dream too: a C trained there, and the main agent where M can dream."""
        if isinstance(row.player, FreshC):
            return row.player.place == "dream"
        return self.is_main(row) and can_dream(self.run.experiment, self.spec)

    def has_engine_score(self, row: Row) -> bool:
        """Whether it is scored in the plan's engine too: every trained C is."""
        return self.plan.engine is not None and (isinstance(row.player, FreshC) or self.is_main(row))

    def source(self, player: FreshC) -> RunFolder:
        """The round whose V and M a row takes."""
        return self.run.at(0) if player.first_round else self.run

    def temperature(self, player: FreshC) -> float:
        """Tau of the dream that a row's C is trained in."""
        given = player.temperature
        return self.run.experiment.dream.temperature if given is None else given

    def controller(self, player: FreshC) -> ControllerConfig:
        """The shape of a row's C; what it sees of z is what the run's own C sees."""
        own = self.run.experiment.controller
        return own if player.controller is None else replace(player.controller, sample_z=own.sample_z)

    def folder_of(self, row: Row) -> RowFolder:
        """A row's own folder; that of an earlier row where both are the same computation."""
        first = next(other for other in self.plan.rows if self._computation(other) == self._computation(row))
        return RowFolder(self.folder / first.name)

    def controller_folder(self, row: Row, player: FreshC) -> Path:
        """The folder of the training of the row's C."""
        return self.run.controller if self.is_main_controller(player) else self.folder_of(row).controller

    def env(self, row: Row) -> EnvSpec:
        """Where a row's C is trained, and scored if that is a dream; of the main agent, its dream."""
        player = row.player
        if not isinstance(player, FreshC):
            return trained_in(self.run.chosen).env("dream")
        trained = self.trained(row)
        if player.place == "world":
            return trained.env("world")
        dreamer = replace(trained, parts=replace(trained.parts, memory=self.source(player).memory))
        beside = trained.parts.memory if player.untrained else None
        env = dreamer.env("dream")
        return replace(env, dream=at_temperature(env.dream, self.temperature(player)), seen=beside)

    def learning_env(self, row: Row, player: FreshC, limits: Limits) -> EnvSpec:
        """The same for a C that learns there, so that all settings of the run's dream hold."""
        return replace(self.env(row), learns=True, members=self.source(player).members, limits=limits)

    def trained(self, row: Row) -> Trained:
        """V, M and C of a row's agent, as it meets the real world."""
        player = row.player
        if not isinstance(player, FreshC):
            return trained_in(self.run.chosen)
        source, folder = trained_in(self.source(player)), self.folder_of(row)
        parts = replace(source.parts, controller=self.controller_folder(row, player) / BEST_FILE)
        if player.untrained:
            parts = replace(parts, memory=folder.memory)
        return Trained(folder.path, replace(source.experiment, controller=self.controller(player)), parts)

    def _computation(self, row: Row) -> tuple[object, ...]:
        """Equal for rows that are the same computation."""
        player = row.player
        if isinstance(player, FreshC):
            dream = self.temperature(player) if player.place == "dream" else None
            return row.world, self.source(player).round, dream, player.untrained, self.controller(player)
        return row.world, player


def _in_place(phase: Phase, place: Place) -> Phase:
    """The phase in a row's place; nothing can be differentiated in the world, where PPO stands in."""
    method = "ppo" if place == "world" and phase.method == "backprop" else phase.method
    return replace(phase, method=method, place=place, rounds="all")


def _what_counts(phases: list[Planned]) -> list[tuple[object, ...]]:
    """What decides the course of a training."""
    return [(one.number, one.phase.method, one.phase.place, one.phase.updates, one.config) for one in phases]
