"""M's sizes and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from reverie.errors import ReverieError


@dataclass(frozen=True)
class MemoryConfig:
    """The MDN-RNN and its training; the defaults are the paper's CarRacing sizes (422,368 parameters)."""

    latent_size: int = 32
    """Dimensions of V's latent z."""
    action_size: int = 3
    """Length of the action vector as M sees it."""
    hidden_size: int = 256
    """Cells of the LSTM (paper: 256 for CarRacing, 512 for Doom)."""
    mixtures: int = 5
    """Gaussians for each latent dimension, independently."""
    restart_input: bool = False
    """Give M an input that is 1 on the first step of an episode (paper: Doom)."""
    clock: bool = False
    """M's first cell counts the steps of an episode, for worlds that change slowly: a dream knows how late it is."""
    done_head: bool = False
    """Predict whether the episode ends with this step (paper: Doom)."""
    reward_head: bool = False
    """Predict the reward of this step: needed to train C in the dream of a world whose reward is not survival."""
    action_head: bool = False
    """Predict the next action, so that M absorbs what C has learned (paper, section 5)."""
    outlook: tuple[int, ...] = ()
    """Predict, for each action that can be counted, whether the episode ends while it is held: numbers of steps that
    rise, each as far as M is to look; learned from what the episodes hold. none: M does not."""
    learning_rate: float = 1e-3
    """Adam's first learning rate."""
    decay: float = 1.0
    """The learning rate's distance to `final_learning_rate` is multiplied by this after each update (Doom: 0.99999)."""
    final_learning_rate: float = 1e-5
    """The floor that the learning rate decays towards; without effect while `decay` is 1."""
    clip: float = 1.0
    """Each element of each gradient is clipped to [-clip, clip]."""
    done_weight: float = 10.0
    """Weight of the steps that end an episode in the done loss."""
    batch_size: int = 100
    """Streams side by side in a batch."""
    window: int = 500
    """Steps of each stream in a batch: the length that gradients flow back through."""
    updates: int = 4000
    """Updates to train for (paper: 4,000 for CarRacing, 24,400 for Doom). 0 leaves M untrained, as a control."""
    log_every: int = 20
    """Updates between two rows of metrics."""
    held_out_every: int = 20
    """One episode in this many is never trained on; its loss is logged as `held_out_*`. 0: none is held out."""
    checkpoint_every: int = 100
    """Updates between two checkpoints; the held-out loss is measured as often."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outlook", tuple(self.outlook))  # JSON has lists
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise ReverieError(
                    f"memory.{name} is {value!r}, expected a whole number of at least {lowest}; {REMEDY}"
                )
        if self.held_out_every == 1:
            raise ReverieError(f"memory.held_out_every is 1, expected 0 or at least 2; {REMEDY}")
        for name in ("learning_rate", "final_learning_rate", "clip", "done_weight", "decay"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ReverieError(f"memory.{name} is {value!r}, expected a number over 0; {REMEDY}")
        whole = all(type(step) is int for step in self.outlook)
        if not whole or any(after <= before for before, after in pairwise((0, *self.outlook))):
            raise ReverieError(f"memory.outlook is {self.outlook}, expected whole numbers that rise from 1; {REMEDY}")
        if self.decay > 1:
            raise ReverieError(f"memory.decay is {self.decay!r}, expected a number of at most 1; {REMEDY}")

    def learning_rate_at(self, update: int) -> float:
        """Adam's learning rate at `update` (0 is the first)."""
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * self.decay**update

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
        sizes = {"mixtures": self.mixture_size, "done": 1, "reward": 1, "outlook": self.outlook_size}
        sizes |= {"action": self.action_size}
        absent = {"done": not self.done_head, "reward": not self.reward_head, "action": not self.action_head}
        absent |= {"outlook": not self.outlook}
        return {name: size for name, size in sizes.items() if not absent.get(name)}

    @property
    def feature_sizes(self) -> tuple[int, int, int, int]:
        """Of what C may see: z, the state's h or c, the action that M expects, and its outlook."""
        return self.latent_size, self.hidden_size, self.action_size, self.outlook_features

    @property
    def outlook_size(self) -> int:
        """Numbers that leave M for its outlook: for each action that can be held, and each stretch of time."""
        return self._countable * len(self.outlook)

    @property
    def outlook_features(self) -> int:
        """Numbers that C sees of M's outlook; see `Outlook`."""
        actions, stretches = self._countable, len(self.outlook)
        sizes = actions, actions**2 * stretches, actions * (stretches + 1), 1 + stretches
        return sum(sizes) if stretches else 0

    @property
    def _countable(self) -> int:
        """How many actions there are, where they can be counted: three-way ones are one number."""
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
    "batch_size": 1,
    "window": 1,
    "updates": 0,
    "log_every": 1,
    "held_out_every": 0,
    "checkpoint_every": 1,
}
CAME_LATER: dict[str, list[int]] = {"outlook": []}  # what runs and trainings of before do not name, as JSON
REMEDY = "change it in the configuration"
