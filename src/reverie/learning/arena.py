"""Where candidates are tried: M's dream or the real world, opened from files once in each process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from reverie.agent import SeenWorld
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.controller.senses import Senses
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.dream.engine import DreamEngine
from reverie.dream.guarded import guarded_engines
from reverie.dream.moments import recorded_moments
from reverie.dream.starts import Starts, load_starts
from reverie.errors import ReverieError
from reverie.learning.evolution_config import EvolutionConfig
from reverie.memory.model import MDNRNN
from reverie.memory.train import load_memory
from reverie.vision.latents import Latents
from reverie.vision.train import load_vision
from reverie.worlds.registry import make
from reverie.worlds.spec import WorldSpec


@dataclass(frozen=True)
class Arena:
    """What a worker needs to try candidates; small, so that it travels with each task.

    latent_size, memory_size, outlook_size: Nz of V, the cells of M (0 without an M) and the numbers of its outlook,
        which decide C's size
    vision, memory, latents: folders of V, M and the encoded episodes, or an export's files of V, M and the starts. A
        dream needs no V and starts from latents; the world needs no latents, and no M where C sees z alone
    guards, members: what guards C in dreams (None: nothing), and the folders of all Ms but the first
    beside: folder of another M, which follows the dreams of the first and whose state C sees in place of that one's
    max_steps, patience, give_up, slots: of episodes in the world; `as_in` sets them, and where, as a config says
    """

    where: Literal["dream", "world"]
    spec: WorldSpec
    controller: ControllerConfig
    latent_size: int
    memory_size: int
    dream: DreamConfig
    vision: Path | None = None
    memory: Path | None = None
    latents: Path | None = None
    beside: Path | None = None
    guards: GuardsConfig | None = None
    members: tuple[Path, ...] = ()
    max_steps: int | None = None
    patience: int | None = None
    give_up: Literal["keep", "extrapolate"] = "keep"
    slots: int = 16
    outlook_size: int = 0

    def __post_init__(self) -> None:
        needed = {"M (memory)": self.memory if self.where == "dream" or self.controller.features != "z" else "none"}
        needed |= {"latents": self.latents} if self.where == "dream" else {"V (vision)": self.vision}
        for what, folder in needed.items():
            if folder is None:
                raise ReverieError(f"candidates cannot be tried in the {self.where} without the folder of {what}")

    def as_in(self, config: EvolutionConfig) -> Arena:
        """The same, tried where and as a search of `config` tries candidates."""
        names = ("where", "max_steps", "patience", "give_up", "slots")
        return replace(self, **{name: getattr(config, name) for name in names})

    @property
    def full_length(self) -> int:
        """Steps of the longest episode."""
        return min(self.max_steps or self.spec.max_steps, self.spec.max_steps)

    @property
    def places(self) -> list[Path]:
        """The files and folders that it is opened from."""
        parts = (self.vision, self.memory, self.latents, self.beside, *self.members)
        return [place for place in parts if place is not None]

    def controller_shape(self) -> Controller:
        """The C that all candidates fill with their parameters."""
        sizes = self.latent_size, self.memory_size, self.spec.actions.size, self.outlook_size
        size = self.controller.feature_size(*sizes)
        return Controller(self.controller, size, self.spec.actions)


def open_dream(arena: Arena) -> DreamEngine:
    """The dream, loaded where this process has not loaded these files yet."""
    return _dream(arena, _version(arena))


def open_guarded(arena: Arena) -> tuple[DreamEngine, ...]:
    """The dreams that C is evolved in under the arena's guards, one for each M that takes its turn."""
    return _guarded(arena, _version(arena))


def open_world(arena: Arena, slots: int) -> SeenWorld:
    """The world through V and M, with `slots` sub-environments, opened where this process has not done so yet."""
    return _world(arena, slots, _version(arena))


def close_arenas() -> None:
    """Forget, and close, all that this process has opened."""
    _dream.cache_clear()
    _guarded.cache_clear()
    _world.cache_clear()


@lru_cache(maxsize=1)
def _dream(arena: Arena, version: tuple[str, ...]) -> DreamEngine:
    assert arena.latents is not None
    beside = None if arena.beside is None else load_memory(arena.beside)
    starts, shape = load_starts(arena.latents), arena.controller_shape()
    return DreamEngine(_memory(arena), shape, starts, arena.spec, arena.dream, beside=beside)


@lru_cache(maxsize=1)
def _guarded(arena: Arena, version: tuple[str, ...]) -> tuple[DreamEngine, ...]:
    assert arena.latents is not None
    assert arena.guards is not None
    memories = [_memory(arena), *map(load_memory, arena.members)]
    seen = None if arena.beside is None else load_memory(arena.beside)
    starts: Starts
    if arena.guards.starts == "anywhere":
        followed = memories if seen is None else [*memories, seen]
        starts = recorded_moments(followed, Latents(arena.latents), arena.spec.actions)
    else:
        starts = load_starts(arena.latents)
    shape = arena.controller_shape()
    return guarded_engines(memories, shape, starts, arena.spec, arena.dream, arena.guards, seen=seen)


@lru_cache(maxsize=2)
def _world(arena: Arena, slots: int, version: tuple[str, ...]) -> SeenWorld:
    assert arena.vision is not None
    memory = None if arena.memory is None else _memory(arena)
    senses = Senses(load_vision(arena.vision), memory, arena.controller, arena.spec.actions)
    if senses.feature_size != arena.controller_shape().feature_size:
        raise ReverieError(
            f"C reads {arena.controller_shape().feature_size} features, but V in {arena.vision} and M in "
            f"{arena.memory} give {senses.feature_size}; take all three from one run"
        )
    return SeenWorld(make(arena.spec.name, slots), senses, seed=0)  # episodes have seeds of their own


def _memory(arena: Arena) -> MDNRNN:
    assert arena.memory is not None
    return load_memory(arena.memory)


def _version(arena: Arena) -> tuple[str, ...]:
    """Changes when V, M or the latents are made again, so that no process goes on with old ones."""
    files = [
        file for place in arena.places for file in ([place] if place.is_file() else sorted(place.glob("*.safetensors")))
    ]
    return tuple(f"{file}:{file.stat().st_mtime_ns}" for file in files)
