"""M's sizes and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
    done_head: bool = False
    """Predict whether the episode ends with this step (paper: Doom)."""
    reward_head: bool = False
    """Predict the reward of this step: needed to train C in the dream of a world whose reward is not survival."""
    action_head: bool = False
    """Predict the next action, so that M absorbs what C has learned (paper, section 5)."""
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
    """Updates to train for (paper: 4,000 for CarRacing, 24,400 for Doom)."""
    log_every: int = 20
    """Updates between two rows of metrics."""
    held_out_every: int = 20
    """One episode in this many is never trained on; its loss is logged as `held_out_*`. 0: none is held out."""
    checkpoint_every: int = 100
    """Updates between two checkpoints; the held-out loss is measured as often."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            lowest = LOWEST.get(field.name)
            if lowest is not None and not value >= lowest:
                raise ReverieError(f"memory.{field.name} is {value}, expected at least {lowest}")
        for name in ("learning_rate", "final_learning_rate", "clip", "done_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ReverieError(f"memory.{name} is {getattr(self, name)}, expected a positive number")
        if not 0 < self.decay <= 1:
            raise ReverieError(f"memory.decay is {self.decay}, expected a number in (0, 1]")

    @property
    def input_size(self) -> int:
        """Numbers that enter M at each step: z, the action and, where asked for, the restart flag."""
        return self.latent_size + self.action_size + self.restart_input

    @property
    def mixture_size(self) -> int:
        """Numbers that describe the mixtures of one step: logits, means and log standard deviations."""
        return 3 * self.mixtures * self.latent_size

    @property
    def output_size(self) -> int:
        """Numbers that leave M at each step: the mixtures, then done, reward and action where asked for."""
        return self.mixture_size + self.done_head + self.reward_head + self.action_head * self.action_size


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
