"""The shape of C."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.worlds.spec import ActionSpec

Input = Literal["z", "h", "c", "action", "survival"]
ORDER: tuple[Input, ...] = ("z", "c", "h", "action", "survival")
SIDES = (-1, 0, 1)  # the three-way actions of a categorical C's outputs


@dataclass(frozen=True)
class ControllerConfig:
    """Which C. The paper: linear on z, h with bias (car), linear on z, c, h without (Doom), z alone (ablations)."""

    inputs: tuple[Input, ...] = ("z", "h")
    """what C sees, in this order: the latent z; M's cell state c and hidden state h; what M's heads predict, either the
    next action or the survival of each action"""
    hidden_size: int = 0
    """tanh units between inputs and outputs; 0: C is linear"""
    bias: bool = True
    """whether each layer adds a bias"""
    sample_z: bool = True
    """whether C sees a z drawn from V's Gaussian of a real frame (the paper), or the mean, which jitters less"""
    categorical: bool = False
    """whether C has a logit for each of left, stay and right, of which the largest acts; else, as in the paper, one
    number stands for all three, in which stay always lies between the others"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))  # JSON has lists
        known = get_args(Input)
        ordered = [name for name in ORDER if name in self.inputs]
        if list(self.inputs) != ordered or "z" not in self.inputs:
            raise ReverieError(
                f"controller.inputs are {list(self.inputs)}, expected z and any of {', '.join(known[1:])}, "
                f"each once, in the order {', '.join(ORDER)}"
            )
        if "action" in self.inputs and "survival" in self.inputs:
            raise ReverieError("controller.inputs hold action and survival, expected at most one of M's heads")
        if len(self.inputs) > 1 and "h" not in self.inputs:
            raise ReverieError(f"controller.inputs are {list(self.inputs)}, expected h beside anything that M gives")
        if self.hidden_size < 0:
            raise ReverieError(f"controller.hidden_size is {self.hidden_size}, expected 0 (linear) or more")

    @property
    def needs_memory(self) -> bool:
        """Whether C sees anything of M."""
        return len(self.inputs) > 1

    def feature_size(self, latent_size: int, memory_size: int, action_size: int = 0, survival_size: int = 0) -> int:
        """The length F of the vector that C sees, for a latent of `latent_size` and an M of `memory_size` units.

        action_size, survival_size: of what M's heads predict, which count where C sees them
        """
        sizes = {"z": latent_size, "c": memory_size, "h": memory_size, "action": action_size, "survival": survival_size}
        return sum(sizes[name] for name in self.inputs)

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
        between = [self.hidden_size] if self.hidden_size else []
        return tuple(pairwise([inputs, *between, outputs]))

    def parameter_count(self, inputs: int, outputs: int) -> int:
        """How many numbers such a C is."""
        return sum(before * after + after * self.bias for before, after in self.layers(inputs, outputs))
