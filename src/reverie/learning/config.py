"""How C learns by gradients, in the dream and in the world; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.worlds.spec import WorldSpec

FIRST_SPREAD = 0.35  # of what C tries: three-way actions begin with 27, 46 and 27 in 100
Method = Literal["ppo", "backprop"]
CAME_LATER = {
    "method": "ppo",
    "last_spread": None,
    "average": 1,
    "reward_limit": None,
    "divergence_limit": None,
    "hold_chance": 0.0,
    "fade": 0.0,
    "longest_hold": 16,
}  # settings of `GradientConfig` that runs and trainings of before do not name, and what they were like


@dataclass(frozen=True)
class GradientConfig:
    """C by gradients in M's dream, before CMA-ES goes on from what they found. Not in the paper, which hints at it."""

    method: Method = "ppo"
    """ppo: what was drawn and paid becomes likelier (Schulman et al., 2017); backprop: what is paid is differentiated
    through M, which takes continuous actions (Hafner et al., 2020)"""
    updates: int = 0
    """updates of C, each on `dreams` x `window` steps; 0 leaves C to CMA-ES alone, as the paper does"""
    dreams: int = 2048
    """dreams side by side; one that ends begins anew"""
    window: int = 32
    """steps of every dream between two updates"""
    epochs: int = 2
    """passes over an update's steps; of the critic alone, where the method is backprop"""
    batches: int = 8
    """batches that each pass is cut into"""
    discount: float = 0.99
    """gamma: what a reward one step later is worth"""
    trace: float = 0.95
    """lambda of generalized advantage estimation (Schulman et al., 2016), and of backprop's returns"""
    reward_limit: float | None = None
    """what a dreamt step brings beyond it does not count, so that C gains nothing by haste; None: all of it counts"""
    clip: float = 0.2
    """how far an update of PPO may change the odds of an action"""
    divergence_limit: float | None = None
    """a step of PPO that takes the odds of C's actions further than this (KL, in nats) from where they were when the
    update began is shortened until it does not: one far too long wipes out what C has learned. None: none is"""
    hold_chance: float = 0.0
    """ppo: the chance that what C tries is held for some steps, so that it learns what a single one cannot show it,
    such as turning about in face of danger (Dabney et al., 2021); 0: never"""
    longest_hold: int = 16
    """a hold lasts 2 to so many steps, each length as often, and ends with the window at the latest"""
    entropy: float = 0.002
    """the weight of the policy's entropy, which keeps it trying things"""
    last_spread: float | None = None
    """C is scored without the noise that it tries things with; with this the noise narrows to so much by the last
    update, and C's learning rate falls in proportion. None: as much as C finds good"""
    learning_rate: float = 3e-3
    """Adam's, of C's parameters (per root mean square of the feature that a weight reads)"""
    critic_learning_rate: float = 1e-3
    """Adam's, of the critic's"""
    critic_size: int = 64
    """tanh units of the critic, which is thrown away in the end"""
    fade: float = 0.0
    """over this share of the updates, the last ones, `entropy`, `hold_chance` and `learning_rate` fall in a line
    to 0: the noise that C learns by costs it something, and it ends without; 0: they stay as they are"""
    average: int = 1
    """C ends as the mean of the Cs after its last so many updates: 1 is the last C itself"""
    log_every: int = 5
    """updates between two lines of metrics"""
    checkpoint_every: int = 25
    """updates between two checkpoints"""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ReverieError(f"gradient.method is {self.method!r}, expected {' or '.join(get_args(Method))}")
        for name, lowest in LOWEST.items():
            if getattr(self, name) < lowest:
                raise ReverieError(f"gradient.{name} is {getattr(self, name)}, expected at least {lowest}")
        for name in ("discount", "trace", "hold_chance", "fade"):
            _require_share(f"gradient.{name}", getattr(self, name))
        for name in ("clip", "learning_rate", "critic_learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ReverieError(f"gradient.{name} is {getattr(self, name)}, expected a finite number above 0")
        _require_limit("gradient.reward_limit", self.reward_limit)
        _require_limit("gradient.divergence_limit", self.divergence_limit)
        _require_spread("gradient", self.last_spread)
        _require_weight("gradient.entropy", self.entropy)

    def at(self, update: int) -> GradientConfig:
        """The settings of `update` (0 is the first), where they fade."""
        left = 1 - update / self.updates
        if left >= self.fade:
            return self
        fading = {name: getattr(self, name) * left / self.fade for name in ("entropy", "hold_chance", "learning_rate")}
        return replace(self, **fading)


@dataclass(frozen=True)
class SettleConfig:
    """C on in the dream of the last round, from where `gradient` left it, as `gradient` says but for these.

    Not in the paper: C unlearns haste, what is but one update's luck, and what only the noise of its tries asks for.
    """

    updates: int = 0
    """updates of C; 0 leaves it as it is"""
    reward_limit: float | None = None
    """as `gradient.reward_limit`"""
    average: int = 50
    """as `gradient.average`"""
    hold_chance: float | None = None
    """as `gradient.hold_chance`; None: what that is, and so for the two below"""
    entropy: float | None = None
    """as `gradient.entropy`"""
    learning_rate: float | None = None
    """as `gradient.learning_rate`"""

    def __post_init__(self) -> None:
        for name, lowest in {"updates": 0, "average": 1}.items():
            if getattr(self, name) < lowest:
                raise ReverieError(f"settle.{name} is {getattr(self, name)}, expected at least {lowest}")
        _require_limit("settle.reward_limit", self.reward_limit)
        _require_limit("settle.learning_rate", self.learning_rate)
        if self.hold_chance is not None:
            _require_share("settle.hold_chance", self.hold_chance)
        if self.entropy is not None:
            _require_weight("settle.entropy", self.entropy)

    def of(self, gradient: GradientConfig) -> GradientConfig:
        """`gradient` as C settles by it."""
        kept = {name: value for name, value in asdict(self).items() if value is not None or name == "reward_limit"}
        return replace(gradient, **kept)


@dataclass(frozen=True)
class FinetuneConfig:
    """C by PPO in the real world, after all dreams, from where they left it; the rest is as `gradient` says.

    Not in the paper, which evolves the car's C in the real world from zeros.
    """

    updates: int = 0
    """updates of C, each on `episodes` whole real episodes; 0 leaves C as the dream made it"""
    episodes: int = 32
    """real episodes that an update plays, with the noise that C tries things with"""
    epochs: int = 4
    """passes over an update's steps"""
    batches: int = 16
    """batches that each pass is cut into"""
    learning_rate: float = 1e-3
    """Adam's for C and the critic in the first update; it falls in a line to 0 after the last"""
    trace: float = 0.8
    """0 to 1, as `gradient.trace`; less of it, for the luck of some real episodes outweighs what a longer one shows"""
    keep: int = 10
    """C ends as the mean of the Cs of so many updates in a row, those whose episodes brought most: it can get worse"""
    patience: int | None = None
    """steps without a positive reward after which an episode is ended; None plays all of it"""
    endless: bool = False
    """count an episode's end as if it went on: where an end is no loss, as that of a lap, C need not fear it"""
    last_spread: float | None = 0.12
    """what the noise that C tries things with narrows to within half the updates; None: as much as C finds good"""

    def __post_init__(self) -> None:
        for name in ("updates", "episodes", "epochs", "batches", "keep", "patience"):
            lowest, value = 0 if name == "updates" else 1, getattr(self, name)
            if value is not None and value < lowest:
                raise ReverieError(f"finetune.{name} is {value}, expected at least {lowest}")
        _require_share("finetune.trace", self.trace)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ReverieError(f"finetune.learning_rate is {self.learning_rate}, expected a finite number above 0")
        _require_spread("finetune", self.last_spread)


def _require_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ReverieError(f"{name} is {share}, expected 0 to 1")


def _require_weight(name: str, weight: float) -> None:
    if not (math.isfinite(weight) and weight >= 0):
        raise ReverieError(f"{name} is {weight}, expected a finite number, at least 0")


def _require_spread(section: str, spread: float | None) -> None:
    if spread is not None and not 0 < spread <= FIRST_SPREAD:
        raise ReverieError(f"{section}.last_spread is {spread}, expected above 0, at most {FIRST_SPREAD}, or none")


def _require_limit(name: str, limit: float | None) -> None:
    if limit is not None and not (math.isfinite(limit) and limit > 0):
        raise ReverieError(f"{name} is {limit}, expected a finite number above 0, or none")


LOWEST = {
    "updates": 0,
    "dreams": 1,
    "longest_hold": 2,
    "window": 1,
    "epochs": 1,
    "batches": 1,
    "critic_size": 1,
    "average": 1,
    "log_every": 1,
    "checkpoint_every": 1,
}


def require_method(method: Method, world: WorldSpec, done: str) -> None:
    """Refuse backprop where what C does is no number that can be changed a little, or where nothing says what it costs.

    done: how dreams end, `DreamConfig.done`
    """
    if method != "backprop":
        return
    if world.actions.kind in ("discrete", "three-way"):
        raise ReverieError(
            f"gradient.method is 'backprop', and the actions of {world.name} are {world.actions.kind}, which have no "
            "gradient; expected continuous or driving ones; set it to ppo"
        )
    if world.reward == "survival" and done == "cutoff":
        raise ReverieError(
            f"gradient.method is 'backprop', and the reward of {world.name} is to survive, where dream.done 'cutoff' "
            "has no gradient; set dream.done to calibrated or sample, or gradient.method to ppo"
        )
