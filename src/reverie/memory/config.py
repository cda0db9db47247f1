"""M's sizes and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from reverie.errors import ReverieError

DONE_WEIGHT = 10.0  # of the steps that end an episode in the done loss (paper)
MIN_LR = 1e-5  # the floor that the learning rate decays towards
DERIVED = {"derived": True}  # follows from other settings, and is none itself


@dataclass(frozen=True)
class MemoryConfig:
    """The MDN-RNN and its training; the defaults are the paper's CarRacing sizes (422,368 parameters)."""

    latent_size: int = field(default=32, metadata=DERIVED)
    """Dimensions of V's latent z, as `vision.latent_size` says."""
    action_size: int = field(default=3, metadata=DERIVED)
    """Length of the action vector as M sees it, as the world says."""
    hidden_size: int = 256
    """Cells of the LSTM (paper: 256 for CarRacing, 512 for Doom)."""
    mixtures: int = 5
    """Gaussians for each latent dimension, independently."""
    restart_input: bool = field(default=False, metadata=DERIVED)
    """Give M an input that is 1 on the first step of an episode (paper: Doom), as every M that dreams has."""
    residual: bool = False
    """To the means of the next z is added z itself, each dimension times a learned `carry`: what stays need not be
    learned, and what V's noise hides is read from M's state."""
    clock: bool = False
    """M's first cell counts the steps of an episode, for worlds that change slowly: a dream knows how late it is."""
    done_head: bool = False
    """Predict whether the episode ends with this step (paper: Doom)."""
    reward_head: bool = False
    """Predict the reward of this step: needed to train C in the dream of a world whose reward is not survival."""
    reward_bins: int = 0
    """The reward head is a distribution over so many bins (odd), spaced by symlog, learned by two-hot cross entropy
    (Hafner et al., 2023): a crash of -100 and a step's 0.1 live together, and 0 is 0. 0: one number, squared error."""
    action_head: bool = False
    """Predict the next action, so that M absorbs what C has learned (paper, section 5)."""
    survival_head: tuple[int, ...] = ()
    """Action-conditional survival head: P(alive after k steps) if the action is held, for each discrete action and each
    horizon k listed here (rising). none: no such head."""
    learning_rate: float = 1e-3
    """Adam's first learning rate."""
    lr_decay: float = 1.0
    """The learning rate's distance to its floor of 1e-5 is multiplied by this after each update (Doom: 0.99999)."""
    batch_size: int = 100
    """Streams side by side in a batch."""
    sequence_length: int = 500
    """Steps of each stream in a batch: the length that gradients flow back through."""
    updates: int = 4000
    """Updates to train for (paper: 4,000 for CarRacing, 24,400 for Doom). 0 leaves M untrained, as a control."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "survival_head", tuple(self.survival_head))  # JSON has lists
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise ReverieError(
                    f"memory.{name} is {value!r}, expected a whole number of at least {lowest}; {REMEDY}"
                )
        if self.reward_bins and (self.reward_bins < 3 or self.reward_bins % 2 == 0):
            raise ReverieError(
                f"memory.reward_bins is {self.reward_bins}, expected 0 or an odd number over 2; {REMEDY}"
            )
        for name in ("learning_rate", "lr_decay"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ReverieError(f"memory.{name} is {value!r}, expected a number over 0; {REMEDY}")
        horizons = self.survival_head
        whole = all(type(steps) is int for steps in horizons)
        if not whole or any(after <= before for before, after in pairwise((0, *horizons))):
            raise ReverieError(f"memory.survival_head is {horizons}, expected whole numbers that rise from 1; {REMEDY}")
        if self.lr_decay > 1:
            raise ReverieError(f"memory.lr_decay is {self.lr_decay!r}, expected a number of at most 1; {REMEDY}")

    def learning_rate_at(self, update: int) -> float:
        """Adam's learning rate at `update` (0 is the first)."""
        return MIN_LR + (self.learning_rate - MIN_LR) * self.lr_decay**update

    @property
    def input_size(self) -> int:
        """Numbers that enter M at each step: z, the action and, where asked for, the restart flag."""
        return self.latent_size + self.action_size + self.restart_input

    @property
    def mixture_size(self) -> int:
        """Numbers that describe the mixtures of one step: logits, means and log standard deviations."""
        return 3 * self.mixtures * self.latent_size

    @property
    def output_sizes(self) -> dict[str, int]:
        """The parts of M's outputs in their order, and how many numbers each has."""
        sizes = {"mixtures": self.mixture_size, "done": 1, "reward": self.reward_bins or 1}
        sizes |= {"survival": self.survival_size, "action": self.action_size}
        absent = {"done": not self.done_head, "reward": not self.reward_head, "action": not self.action_head}
        absent |= {"survival": not self.survival_head}
        return {name: size for name, size in sizes.items() if not absent.get(name)}

    @property
    def feature_sizes(self) -> tuple[int, int, int, int]:
        """Of what C may see: z, the state's h or c, the action that M expects, and its survival head."""
        return self.latent_size, self.hidden_size, self.action_size, self.survival_features

    @property
    def survival_size(self) -> int:
        """Outputs of the survival head: one for each action that can be held, and each horizon."""
        return self._discrete_actions * len(self.survival_head)

    @property
    def survival_features(self) -> int:
        """Numbers that C sees of M's survival head; see `Survival`."""
        actions, horizons = self._discrete_actions, len(self.survival_head)
        sizes = actions, actions**2 * horizons, actions * (horizons + 1), 1 + horizons
        return sum(sizes) if horizons else 0

    @property
    def _discrete_actions(self) -> int:
        """How many discrete actions there are: three-way ones are one number for M, and three actions."""
        return 3 if self.action_size == 1 else self.action_size

    @property
    def output_size(self) -> int:
        """Numbers that leave M at each step."""
        return sum(self.output_sizes.values())


LOWEST = {
    "latent_size": 1,
    "action_size": 1,
    "hidden_size": 1,
    "mixtures": 1,
    "reward_bins": 0,
    "batch_size": 1,
    "sequence_length": 1,
    "updates": 0,
}
REMEDY = "change it in the configuration"
