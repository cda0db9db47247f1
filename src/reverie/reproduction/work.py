"""What the rows of a plan share: a finished run, and for each row which V, M, C and dream of it are the row's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.agents.trained import Trained, at_temperature
from reverie.controller.config import ControllerConfig
from reverie.evaluation.score import Score
from reverie.learning.cmaes import BEST_FILE
from reverie.learning.config import GradientConfig
from reverie.learning.evolution_config import EvolutionConfig
from reverie.recipe.experiment import can_dream
from reverie.reproduction.plan import Evolved, MainAgent, Plan, Row
from reverie.reproduction.row_folder import RowFolder
from reverie.runs.opening import trained_in
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.workers.pool import Workers
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

if TYPE_CHECKING:
    from reverie.learning.arena import Arena


@dataclass(frozen=True)
class Work:
    """A finished run, the plan for it, and on how many episodes of which seeds its rows are scored."""

    run: RunFolder
    plan: Plan
    episodes: int
    seed: int
    pool: Workers

    @cached_property
    def own_scores(self) -> dict[str, Score]:
        """Those of the run itself: agent, random, dream."""
        return read_scores(self.run)

    @property
    def spec(self) -> WorldSpec:
        """The main world."""
        return world_spec(self.plan.world)

    @property
    def folder(self) -> Path:
        """Where all rows are."""
        return self.run.reproduced

    def evolution(self, player: Evolved) -> EvolutionConfig:
        """How a row's own C is evolved."""
        return replace(self.plan.evolution or self.run.experiment.evolution, where=player.where)

    def gradient(self, player: Evolved) -> GradientConfig:
        """How a row's own C learns by gradients before it is evolved; without updates where that is not in a dream."""
        config = self.plan.gradient or self.run.experiment.gradient
        return config if player.where == "dream" else replace(config, updates=0)

    def is_main(self, row: Row) -> bool:
        """Whether this is the run's own agent in its own world."""
        return row.player == MainAgent() and row.world == self.plan.world

    def is_own_search(self, player: Evolved) -> bool:
        """Whether the run's C is the very one that the row would evolve."""
        experiment = self.run.experiment
        in_the_same_dream = player.where == "world" or self.temperature(player) == experiment.dream.temperature
        on_the_same_m = in_the_same_dream and not player.untrained
        of_the_same_shape = self.controller(player) == experiment.controller
        from_scratch = experiment.rounds.count == 0 and experiment.start_from is None
        in_one_go = experiment.settle.updates == experiment.finetune.updates == 0
        the_same_way = (self.gradient(player), self.evolution(player)) == (experiment.gradient, experiment.evolution)
        the_same = on_the_same_m and of_the_same_shape and the_same_way
        return the_same and from_scratch and in_one_go

    def is_dreamt(self, row: Row) -> bool:
        """Whether it is scored in a dream too: who was evolved there, and the main agent where M can be dreamt."""
        if isinstance(row.player, Evolved):
            return row.player.where == "dream"
        return self.is_main(row) and can_dream(self.run.experiment, self.spec)

    def is_driven(self, row: Row) -> bool:
        """Whether it is scored in the plan's engine too: who learned there, or in the dream of an M that did."""
        return self.plan.engine is not None and (isinstance(row.player, Evolved) or self.is_main(row))

    def source(self, player: Evolved) -> RunFolder:
        """The round whose V and M a row takes."""
        return self.run.at(0) if player.first_round else self.run

    def temperature(self, player: Evolved) -> float:
        """Tau of the dream that a row's C is evolved in."""
        given = player.temperature
        return self.run.experiment.dream.temperature if given is None else given

    def controller(self, player: Evolved) -> ControllerConfig:
        """The shape of a row's C; what it sees of z is what the run's own C sees."""
        own = self.run.experiment.controller
        return own if player.controller is None else replace(player.controller, sample_z=own.sample_z)

    def folder_of(self, row: Row) -> RowFolder:
        """A row's own; that of an earlier one where both are the same computation."""
        first = next(other for other in self.plan.rows if self._computation(other) == self._computation(row))
        return RowFolder(self.folder / first.name)

    def search_of(self, row: Row, player: Evolved) -> Path:
        """The folder of the evolution of the row's C."""
        return self.run.controller if self.is_own_search(player) else self.folder_of(row).controller

    def arena(self, row: Row) -> Arena:
        """Where a row's C is evolved; of the main agent, its dream."""
        player = row.player
        if not isinstance(player, Evolved):
            return trained_in(self.run).arena("dream")
        trained = self.trained(row)
        if player.where == "world":
            return trained.arena("world")
        dreamer = replace(trained, parts=replace(trained.parts, memory=self.source(player).memory))
        beside = trained.parts.memory if player.untrained else None
        arena = dreamer.arena("dream")
        return replace(arena, dream=at_temperature(arena.dream, self.temperature(player)), beside=beside)

    def trained(self, row: Row) -> Trained:
        """V, M and C of a row's agent, as it meets the real world."""
        player = row.player
        if not isinstance(player, Evolved):
            return trained_in(self.run)
        source, folder = trained_in(self.source(player)), self.folder_of(row)
        parts = replace(source.parts, controller=self.search_of(row, player) / BEST_FILE)
        if player.untrained:
            parts = replace(parts, memory=folder.memory)
        return Trained(folder.path, replace(source.experiment, controller=self.controller(player)), parts)

    def _computation(self, row: Row) -> tuple[object, ...]:
        """Equal for rows that are the same computation."""
        player = row.player
        if isinstance(player, Evolved):
            dream = self.temperature(player) if player.where == "dream" else None
            return row.world, self.source(player).round, dream, player.untrained, self.controller(player)
        return row.world, player
