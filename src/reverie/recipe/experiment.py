"""An experiment: every choice that can change a run's result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.episodes.config import CollectConfig
from reverie.errors import ReverieError
from reverie.learning.config import FinetuneConfig, GradientConfig, SettleConfig, require_method
from reverie.learning.evolution_config import EvolutionConfig
from reverie.memory.config import MemoryConfig
from reverie.recipe.curiosity import CuriosityConfig
from reverie.recipe.rounds import RoundsConfig
from reverie.vision.config import VisionConfig

if TYPE_CHECKING:
    from reverie.worlds.spec import WorldSpec

Preset = Literal["tiny", "quick", "standard", "paper"]
PRESETS: tuple[Preset, ...] = ("tiny", "quick", "standard", "paper")
SAID_BY_M = (
    ("o", "outlook", "what holding an action leads to"),
    ("o", "done_head", "whether a step ends the episode"),
    ("a", "action_head", "what it expects C to do"),
)  # what a letter of C's features asks of M: the setting that makes M say it
LARGEST_SEARCH = 10_000  # parameters of a C that is evolved: 0.7 GiB a matrix of CMA-ES


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
    evolution: EvolutionConfig
    """stage 4: C by CMA-ES, in the dream or in the world, from where gradients left it"""
    gradient: GradientConfig = field(default_factory=GradientConfig)
    """stage 4, before CMA-ES or in its place: C by gradients in the dream"""
    settle: SettleConfig = field(default_factory=SettleConfig)
    """stage 4 of the last round, after gradients: C on in the dream, on other terms"""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """stage 4 of the last round, between the dream and CMA-ES: C by gradients in the real world"""
    guards: GuardsConfig = field(default_factory=GuardsConfig)
    """against a C that lives off what M gets wrong, in the dreams that it learns in"""
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    """what follows the first pass through the stages: C collects, and all three learn on"""
    curiosity: CuriosityConfig = field(default_factory=CuriosityConfig)
    """who plays a part of what later rounds collect: Cs that are evolved to surprise M"""
    mirror: bool = False
    """learn from the mirror image of each episode too: for worlds that look alike in a mirror"""
    evaluation_episodes: int = 100
    """real episodes of the final score, on seeds that training never sees"""
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
            raise ReverieError(f"seed is {self.seed}; expected 0 or more")
        if self.evaluation_episodes < 1:
            raise ReverieError(f"evaluation_episodes is {self.evaluation_episodes}; expected at least 1")
        if self.memory.latent_size != self.vision.latent_size:
            raise ReverieError(
                f"memory.latent_size is {self.memory.latent_size} but vision.latent_size is "
                f"{self.vision.latent_size}; M reads V's latents, so set both alike"
            )

    def in_round(self, number: int) -> Experiment:
        """The settings of round `number`: 0 is the first pass, as the stages' own settings say."""
        rounds = self.rounds
        if number == 0:
            return self
        return replace(
            self,
            collect=replace(
                self.collect, episodes=rounds.episodes, max_steps=rounds.max_steps or self.collect.max_steps
            ),
            vision=replace(self.vision, updates=rounds.vision_updates or self.vision.updates),
            memory=replace(
                self.memory,
                updates=rounds.memory_updates,
                # ends at the same rate; where the first pass trains no M, `decay` is the rounds' own
                decay=self.memory.decay
                ** ((self.memory.updates or rounds.memory_updates) / max(1, rounds.memory_updates)),
            ),
            gradient=replace(self.gradient, updates=self._updates_in_a_round),
            evolution=replace(self.evolution, generations=rounds.generations, first_rollouts=None),
        )

    @property
    def dreams_to_learn(self) -> bool:
        """Whether C learns by gradients in the dream, in the first pass, in a later round or at the end."""
        later = self.rounds.count > 0 and self._updates_in_a_round > 0
        return self.gradient.updates > 0 or later or self.settle.updates > 0

    @property
    def _updates_in_a_round(self) -> int:
        given = self.rounds.gradient_updates
        return self.gradient.updates if given is None else given

    def episodes_by(self, number: int) -> int:
        """Real episodes in the store when the collecting of round `number` is done."""
        return self.collect.episodes + number * self.rounds.episodes


def require_fit(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse, before hours are spent, an M that does not fit the world or cannot be dreamt where C is to be evolved."""
    memory, size = experiment.memory, world.actions.size
    if memory.action_size != size:
        raise ReverieError(f"memory.action_size is {memory.action_size}, but the actions of {world.name} have {size}")
    if experiment.mirror:
        world.actions.require_sides()
    experiment.controller.output_size(world.actions)  # raises where it has none
    _require_dream(experiment)
    _require_expectation(experiment, world)
    _require_search(experiment, world)
    head = dream_head(world)
    if experiment.evolution.where == "dream" and not getattr(memory, head):
        raise ReverieError(
            f"memory.{head} is False, and no dream of {world.name} goes without; set it, or use --evolve-in world"
        )
    if experiment.dreams_to_learn and not getattr(memory, head):
        raise ReverieError(
            f"memory.{head} is False, and C is to learn by gradients in the dream of {world.name}; "
            "set it, or gradient.updates to 0"
        )
    if experiment.dreams_to_learn:
        require_method(experiment.gradient.method, world, experiment.dream.done)
    dreams = experiment.evolution.where == "dream" or experiment.dreams_to_learn
    if dreams and experiment.dream.done != "cutoff" and not memory.done_head:
        raise ReverieError(
            f"memory.done_head is False, and dreams are to end as M expects (dream.done {experiment.dream.done}); "
            "set it, or dream.done to cutoff, and they end at their cap alone"
        )


def _require_dream(experiment: Experiment) -> None:
    """Refuse guards of dreams where C learns in none."""
    dreams = experiment.evolution.where == "dream" or experiment.dreams_to_learn
    if not dreams and experiment.guards != GuardsConfig():
        raise ReverieError(
            "guards hold in dreams, and C is evolved in the world; leave them out, or use --evolve-in dream"
        )
    if experiment.guards.earlier and experiment.rounds.vision_updates:
        raise ReverieError(
            f"guards.earlier is {experiment.guards.earlier}, but V learns on in each round (rounds.vision_updates "
            f"{experiment.rounds.vision_updates}), and the Ms of earlier rounds do not know its latents; set one to 0"
        )


def _require_expectation(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse a C that is to see what M expects where M does not say so, and an M that could never say it."""
    features = experiment.controller.features
    if experiment.memory.outlook and world.actions.kind not in ("three-way", "discrete"):
        raise ReverieError(
            f"memory.outlook is {experiment.memory.outlook}, and the actions of {world.name} are {world.actions.kind}; "
            "expected ones that can be counted (three-way or discrete); leave it empty"
        )
    for letter, setting, what in SAID_BY_M:
        value = getattr(experiment.memory, setting)
        if letter in features and not value:
            raise ReverieError(
                f"controller.features are {features!r}, and memory.{setting} is {value}: M does not say {what}; "
                f"set it, or leave the {letter} out"
            )


def _require_search(experiment: Experiment, world: WorldSpec) -> None:
    """Refuse to evolve a C whose covariance no memory holds."""
    rounds, c = experiment.rounds, experiment.controller
    in_rounds = rounds.count and (rounds.generations or experiment.curiosity.weight)
    if not (experiment.evolution.generations or in_rounds):
        return
    inputs = c.feature_size(*experiment.memory.feature_sizes)
    count = c.parameter_count(inputs, c.output_size(world.actions))
    if count > LARGEST_SEARCH:
        raise ReverieError(
            f"C has {count:,} parameters, and CMA-ES keeps matrices of so many by so many "
            f"({8 * count**2 / 2**30:,.1f} GiB each), expected at most {LARGEST_SEARCH:,}; "
            "lower controller.hidden_size, or let it learn by gradients alone (evolution.generations 0, "
            "rounds.generations 0, curiosity.weight 0)"
        )


def can_dream(experiment: Experiment, world: WorldSpec) -> bool:
    """Whether M has what a dream of the world needs, and C looks at M."""
    has_head: bool = getattr(experiment.memory, dream_head(world))
    return has_head and experiment.controller.features != "z"


def dream_head(world: WorldSpec) -> Literal["done_head", "reward_head"]:
    """What M must have to dream the world: to survive is a reward of 1 a step, any other must be predicted."""
    return "done_head" if world.reward == "survival" else "reward_head"
