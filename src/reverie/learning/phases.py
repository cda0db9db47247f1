"""The phases of C's training, a list: each a method, a place, a budget, and what it overrides; torch-free.

In config.json a phase is an object; on the command line a word, METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]]:

    --phases ppo:dream:450:first ppo:dream:300:later ppo:dream:120:last:reward_clip=1,average_last=50 cmaes:world:30
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from reverie.errors import ReverieError
from reverie.learning.config import CMAESConfig, PPOConfig

if TYPE_CHECKING:
    from reverie.feature_env import Place
    from reverie.worlds.spec import WorldSpec

Method = Literal["cmaes", "ppo", "backprop"]
Rounds = Literal["all", "first", "later", "last"]
FORM = "METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]]"
SECTIONS = {"cmaes": "cmaes", "ppo": "ppo", "backprop": "ppo"}  # where a method's settings stand
BEST_FILE = "best.safetensors"  # C as the last phase left it, in the folder of the stage
NAMES = {"ppo": "PPO", "backprop": "backpropagation", "cmaes": "CMA-ES"}
CONFIGS: dict[str, type] = {"cmaes": CMAESConfig, "ppo": PPOConfig}


@dataclass(frozen=True)
class Phase:
    """One phase. `updates` are generations where the method is cmaes; `rounds` says in which rounds it takes place."""

    method: Method
    place: Place
    updates: int
    rounds: Rounds = "all"
    overrides: tuple[tuple[str, Any], ...] = ()
    """settings of the method's section that the phase has otherwise, by name"""

    def __post_init__(self) -> None:
        for name, known in (("method", get_args(Method)), ("place", ("dream", "world")), ("rounds", get_args(Rounds))):
            if getattr(self, name) not in known:
                raise ReverieError(
                    f"phase {self.word()!r} has {name} {getattr(self, name)!r}, expected {', '.join(known[:-1])} "
                    f"or {known[-1]}; a phase is {FORM}"
                )
        if self.updates < 1:
            raise ReverieError(
                f"phase {self.word()!r} has {self.updates} updates, expected at least 1; or leave it out"
            )
        if (self.method, self.place) == ("backprop", "world"):
            raise ReverieError(f"phase {self.word()!r}: nothing can be differentiated in the world; use ppo or cmaes")
        settings = [field.name for field in fields(CONFIGS[SECTIONS[self.method]])]
        for name, _ in self.overrides:
            if name not in settings:
                raise ReverieError(f"phase {self.word()!r} sets {name!r}, expected one of {', '.join(settings)}")

    @classmethod
    def from_word(cls, word: str) -> Phase:
        """The phase that a word of the command line says; raises ReverieError where it is none."""
        parts = word.split(":", 4)
        if len(parts) < 3 or not parts[2].isdecimal():
            raise ReverieError(f"phase {word!r} is not understood, expected {FORM}, such as ppo:dream:300")
        method, place, updates, rounds, overrides = [*parts, *("all", "")[len(parts) - 3 :]]
        pairs = [pair.partition("=") for pair in overrides.split(",") if pair]
        values = tuple((name.strip().replace("-", "_"), _value(value)) for name, _, value in pairs)
        return cls(method, place, int(updates), rounds or "all", values)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Any) -> Phase:
        """The inverse of `as_dict`; raises ReverieError."""
        names = ["method", "place", "updates", "rounds", "overrides"]
        if not isinstance(data, dict) or sorted(data) != sorted(names) or not isinstance(data["overrides"], dict):
            raise ReverieError(f"phases hold {data!r:.100}, expected objects of {', '.join(names)}")
        if type(data["updates"]) is not int:
            raise ReverieError(f"phases hold updates {data['updates']!r:.50}, expected a whole number")
        return cls(data["method"], data["place"], data["updates"], data["rounds"], tuple(data["overrides"].items()))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "method": self.method,
            "place": self.place,
            "updates": self.updates,
            "rounds": self.rounds,
            "overrides": dict(self.overrides),
        }

    def word(self) -> str:
        """The phase as a word of the command line."""
        overrides = ",".join(f"{name}={_word(value)}" for name, value in self.overrides)
        rounds = f":{self.rounds}" if self.rounds != "all" or overrides else ""
        return f"{self.method}:{self.place}:{self.updates}{rounds}" + (f":{overrides}" if overrides else "")

    def takes_place_in(self, round: int, rounds: int) -> bool:
        """Whether it takes place in that round; 0 is the first pass, `rounds` the last."""
        return {"all": True, "first": round == 0, "later": round > 0, "last": round == rounds}[self.rounds]

    def config(self, sections: dict[str, Any]) -> Any:
        """The settings of its method: the section's, with what the phase overrides."""
        section = sections[SECTIONS[self.method]]
        try:
            return replace(section, **dict(self.overrides))
        except (ReverieError, TypeError) as error:
            raise ReverieError(f"phase {self.word()!r}: {error}") from None


@dataclass(frozen=True)
class Planned:
    """A phase of this round: its number among all phases, from 1; its settings."""

    number: int
    phase: Phase
    config: Any

    def folder(self, controller: Path) -> Path:
        """Where it keeps its checkpoints and metrics."""
        return controller / f"{self.number}-{self.phase.method}-{self.phase.place}"


def in_words(phases: Sequence[Phase]) -> str:
    """The phases in the order of their first mention: "PPO in the dream, then CMA-ES in the world"."""
    return ", then ".join(dict.fromkeys(f"{NAMES[phase.method]} in the {phase.place}" for phase in phases))


def planned(phases: Sequence[Phase], sections: dict[str, Any], round: int, rounds: int) -> list[Planned]:
    """The phases of a round, with their settings."""
    numbered = enumerate(phases, start=1)
    return [
        Planned(number, phase, phase.config(sections))
        for number, phase in numbered
        if phase.takes_place_in(round, rounds)
    ]


def any_in_dream(phases: Sequence[Phase]) -> bool:
    """Whether any of the phases takes place in the dream."""
    return any(phase.place == "dream" for phase in phases)


def require_method(phases: Sequence[Phase], world: WorldSpec, termination: str) -> None:
    """Refuse backprop where C's action cannot be changed a little, or where nothing says what it costs.

    termination: how dreams end, `DreamConfig.termination`
    """
    if not any(phase.method == "backprop" for phase in phases):
        return
    if world.actions.has_one_hots or world.actions.kind == "three-way":
        raise ReverieError(
            f"phases hold backprop, and the actions of {world.name} are {world.actions.kind}, which have no gradient; "
            "expected continuous or driving ones; use ppo"
        )
    if world.reward == "survival" and termination == "threshold":
        raise ReverieError(
            f"phases hold backprop, and the reward of {world.name} is to survive, where dream.termination 'threshold' "
            "has no gradient; set it to calibrated or sample, or use ppo"
        )


def _value(word: str) -> Any:
    """A number, true, false or none as what it says; any other word as it is."""
    try:
        return json.loads({"none": "null"}.get(word.lower(), word.lower()))
    except ValueError:
        return word


def _word(value: Any) -> str:
    return {"True": "true", "False": "false", "None": "none"}.get(str(value), str(value))
