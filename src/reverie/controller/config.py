"""The shape of C."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.worlds.spec import ActionSpec

Features = Literal["z", "zh", "zch", "zha", "zcha", "zho", "zcho"]
SIDES = (-1, 0, 1)  # the three-way actions of a categorical C's outputs


@dataclass(frozen=True)
class ControllerConfig:
    """Which C. The paper: linear on [z, h] with bias (car), linear on [z, c, h] without (Doom), z alone (ablations)."""

    kind: Literal["linear", "hidden"] = "linear"
    """linear: one layer; hidden: one layer of tanh units before it"""
    features: Features = "zh"
    """what C sees, in this order: the latent z, M's cell state c and hidden state h, the action a that M expects or its
    outlook o on what holding each action leads to"""
    hidden_size: int = 40
    """tanh units of kind "hidden" (ignored by "linear")"""
    bias: bool = True
    """whether each layer adds a bias"""
    sample_z: bool = True
    """whether C sees of a real frame a z drawn from V's Gaussian, as in the paper, or the mean, which jitters less"""
    categorical: bool = False
    """whether C has an output for each of left, stay and right, of which the largest acts; else, as in the paper, one
    number for all three, in which stay always lies between the others"""

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "hidden"):
            raise ReverieError(f"controller kind is {self.kind!r}; expected linear or hidden")
        if self.features not in get_args(Features):
            known = get_args(Features)
            raise ReverieError(
                f"controller features are {self.features!r}; expected {', '.join(known[:-1])} or {known[-1]}"
            )
        if self.hidden_size < 1:
            raise ReverieError(f"controller hidden_size is {self.hidden_size}; expected at least 1")

    @property
    def sees_habit(self) -> bool:
        """Whether C sees the action that M expects of it."""
        return "a" in self.features

    @property
    def sees_outlook(self) -> bool:
        """Whether C sees what M expects of holding each action."""
        return "o" in self.features

    def feature_size(self, latent_size: int, memory_size: int, action_size: int = 0, outlook_size: int = 0) -> int:
        """The length F of the vector that C sees, for a latent of `latent_size` and an M of `memory_size` units.

        action_size, outlook_size: of the action that M expects and of its outlook, which count where C sees them
        """
        states = sum(state in self.features for state in "ch")
        more = action_size * self.sees_habit + outlook_size * self.sees_outlook
        return latent_size + memory_size * states + more

    def output_size(self, actions: ActionSpec) -> int:
        """How many outputs C has for such actions; raises ReverieError where they cannot be categorical."""
        if not self.categorical:
            return actions.size
        if actions.kind != "three-way":
            raise ReverieError(
                f"controller.categorical is True, and actions are {actions.kind}; expected three-way ones, as Doom has "
                "(discrete ones have an output each as it is); set it to false"
            )
        return len(SIDES)

    def layers(self, inputs: int, outputs: int) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each layer of a C that reads `inputs` features and has `outputs` outputs."""
        between = [self.hidden_size] if self.kind == "hidden" else []
        return tuple(pairwise([inputs, *between, outputs]))

    def parameter_count(self, inputs: int, outputs: int) -> int:
        """How many numbers such a C is."""
        return sum(before * after + after * self.bias for before, after in self.layers(inputs, outputs))
