"""An experiment: every choice that can change a run's result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.episodes.config import CollectConfig
from reverie.errors import ReverieError
from reverie.learning.config import CMAESConfig, PPOConfig
from reverie.learning.phases import Phase, any_in_dream, require_method
from reverie.memory.config import MemoryConfig
from reverie.recipe.rounds import RoundsConfig
from reverie.vision.config import VisionConfig

if TYPE_CHECKING:
    from reverie.worlds.spec import WorldSpec

Preset = Literal["tiny", "quick", "standard", "paper"]
PRESETS: tuple[Preset, ...] = ("tiny", "quick", "standard", "paper")
HEADS_OF_INPUTS = (
    ("survival", "survival_head", "how likely C survives each action"),
    ("survival", "done_head", "whether a step ends the episode"),
    ("action", "action_head", "what C does next"),
)  # what an input of C asks of M: the setting that makes M predict it
LARGEST_SEARCH = 10_000  # parameters of a C that CMA-ES searches: 0.7 GiB a matrix


@dataclass(frozen=True)
class Experiment:
    """One world, the settings of each stage, and the seed from which every random stream derives."""

    world: str
    """doom (and doom-skill-1 to doom-skill-5, doom-repeat-4), carracing, tiny, climb or any Gymnasium id"""
    preset: Preset
    """the preset that the settings started from"""
    seed: int
    """root of every random stream, at least 0"""
    collect: CollectConfig
    """stage 1: real episodes"""
    vision: VisionConfig
    """stage 2: V"""
    memory: MemoryConfig
    """stage 3: M"""
    controller: ControllerConfig
    """the shape of C"""
    dream: DreamConfig
    """the dream that C trains in"""
    phases: tuple[Phase, ...] = ()
    """stage 4: the phases of C's training. Each METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]]. Method: cmaes, ppo
    or backprop. Place: dream or world. Updates: generations of cmaes. Rounds: all, first, later or last"""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """the settings of phases by ppo and backprop"""
    cmaes: CMAESConfig = field(default_factory=CMAESConfig)
    """the settings of phases by cmaes"""
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    """rounds after the first pass: C collects, all learn on"""
    mirror: bool = False
    """learn from each episode's mirror image too. For worlds that look alike in a mirror"""
    evaluation_episodes: int = 100
    """real episodes of the final score. On seeds that training never sees"""
    start_from: str | None = None
    """the agent whose weights V, M and C begin at, as `--from` names it; None: random weights, and a C of zeros"""
    start_digest: str | None = None
    """of those weights, by which a run that goes on knows them again"""
    data: str | None = None
    """the episodes of the first pass, as `--data` names them; None: they are played"""
    data_digest: str | None = None
    """of those episodes, by which a run that goes on knows them again"""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ReverieError(f"seed is {self.seed}, expected 0 or more")
        if self.evaluation_episodes < 1:
            raise ReverieError(f"evaluation_episodes is {self.evaluation_episodes}, expected at least 1")
        memory = replace(self.memory, latent_size=self.vision.latent_size)  # M reads V's latents
        object.__setattr__(self, "memory", memory)
        for phase in self.phases:
            phase.config(self.methods)

    @property
    def methods(self) -> dict[str, Any]:
        """The sections that phases take their settings from, by name."""
        return {"ppo": self.ppo, "cmaes": self.cmaes}

    @property
    def trains_in_dream(self) -> bool:
        """Whether any phase of C's training takes place in the dream."""
        return any_in_dream(self.phases)

    def in_round(self, number: int) -> Experiment:
        """The settings of round `number`: 0 is the first pass, as the stages' own settings say."""
        rounds = self.rounds
        if number == 0:
            return self
        return replace(
            self,
            collect=replace(
                self.collect,
                episodes=rounds.episodes,
                steps=rounds.steps,
                max_steps=rounds.max_steps or self.collect.max_steps,
            ),
            vision=replace(self.vision, updates=rounds.vision_updates or self.vision.updates),
            memory=replace(
                self.memory,
                updates=rounds.memory_updates,
                # ends at the same rate; where the first pass trains no M, `lr_decay` is the rounds' own
                lr_decay=self.memory.lr_decay
                ** ((self.memory.updates or rounds.memory_updates) / max(1, rounds.memory_updates)),
            ),
        )


def require_fit(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse, before hours are spent, an M that does not fit the world or cannot be dreamt where C is to train."""
    memory, size = experiment.memory, world.actions.size
    if memory.action_size != size:
        raise ReverieError(f"memory.action_size is {memory.action_size}, but the actions of {world.name} have {size}")
    if experiment.mirror:
        world.actions.require_sides()
    experiment.controller.output_size(world.actions)  # raises where it has none
    _require_heads(experiment, world)
    _require_search(experiment, world)
    if not experiment.trains_in_dream:
        _require_no_dream(experiment)
        return
    head = dream_head(world)
    if not getattr(memory, head):
        raise ReverieError(
            f"memory.{head} is False, and no dream of {world.name} goes without; set it, or let all phases take place "
            "in the world"
        )
    require_method(experiment.phases, world, experiment.dream.termination)
    if experiment.dream.termination != "threshold" and not memory.done_head:
        raise ReverieError(
            f"memory.done_head is False, and dream.termination is {experiment.dream.termination}: dreams are to end as "
            "M predicts; set it, or dream.termination to threshold, and they end at their horizon alone"
        )


def _require_no_dream(experiment: Experiment) -> None:
    """Refuse settings of the dreams that C learns in where it learns in none."""
    if not experiment.dream.is_plain:
        raise ReverieError(
            "dream.horizon, starts, dropout, ensemble_size and disagreement_penalty are of dreams that C learns in, "
            "and all phases take place in the world; leave them out, or add a phase in the dream"
        )


def _require_heads(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse a C that is to see a head that M does not have, and a head that M could never learn."""
    inputs, survival = experiment.controller.inputs, experiment.memory.survival_head
    if survival and world.actions.kind not in ("three-way", "discrete"):
        raise ReverieError(
            f"memory.survival_head is {survival}, and the actions of {world.name} are {world.actions.kind}, "
            "expected discrete or three-way ones; leave it empty"
        )
    for name, setting, what in HEADS_OF_INPUTS:
        value = getattr(experiment.memory, setting)
        if name in inputs and not value:
            raise ReverieError(
                f"controller.inputs are {list(inputs)}, and memory.{setting} is {value}: M does not predict {what}; "
                f"set it, or leave {name} out"
            )


def _require_search(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse to search a C whose covariance no memory holds."""
    c = experiment.controller
    if not any(phase.method == "cmaes" for phase in experiment.phases):
        return
    inputs = c.feature_size(*experiment.memory.feature_sizes)
    count = c.parameter_count(inputs, c.output_size(world.actions))
    if count > LARGEST_SEARCH:
        one, two = (
            replace(c, hidden_size=size).parameter_count(inputs, c.output_size(world.actions)) for size in (1, 2)
        )
        units = 1 + (LARGEST_SEARCH - one) // (two - one)  # each adds as many parameters
        smaller = f"set controller.hidden_size to {units}" if units > 0 else "lower memory.hidden_size"
        raise ReverieError(
            f"C has {count:,} parameters, and CMA-ES keeps matrices of so many by so many "
            f"({8 * count**2 / 2**30:,.1f} GiB each), expected at most {LARGEST_SEARCH:,}; "
            f"{smaller}, or leave out phases by cmaes"
        )


def can_dream(experiment: Experiment, world: WorldSpec) -> bool:
    """Whether M has what a dream of the world needs, and C looks at M."""
    has_head: bool = getattr(experiment.memory, dream_head(world))
    return has_head and experiment.controller.needs_memory


def dream_head(world: WorldSpec) -> Literal["done_head", "reward_head"]:
    """What M must have to dream the world: to survive is a reward of 1 a step, any other must be predicted."""
    return "done_head" if world.reward == "survival" else "reward_head"
