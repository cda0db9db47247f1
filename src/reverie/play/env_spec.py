"""Where C is tried, M's dream or the real world: as files that each process opens once, small enough to travel.

This is the one place where a dream and a world are told apart by training and scores: they are opened differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from gymnasium.vector import VectorEnv

from reverie.agent import SeenWorld
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.controller.senses import Senses
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.novelty import Novelty, fit_novelty
from reverie.dream.replay import ReplayStarts, replay_starts
from reverie.dream.starts import Starts, load_starts, save_starts
from reverie.errors import ReverieError
from reverie.feature_env import FeatureEnv, Place
from reverie.files.weights import read_weights, save_weights
from reverie.memory.model import MDNRNN
from reverie.memory.train import load_memory
from reverie.play.loop import Limits
from reverie.vision.latents import Latents
from reverie.vision.train import load_vision
from reverie.workers.seeds import generator
from reverie.worlds.registry import make, most_slots
from reverie.worlds.spec import WorldSpec

ENVS_PER_WORKER = 16  # episodes that a worker plays side by side in the world
FOLDERS = {"vision": "V (vision)", "memory": "M (memory)", "latents": "latents"}
NEEDED = {"dream": {"memory", "latents"}, "world": {"vision"}}  # and M, where C sees anything of it


@dataclass(frozen=True)
class EnvSpec:
    """What a worker needs to try Cs in a place.

    latent_size, memory_size, survival_size: Nz of V, the units of M (0 without an M) and the numbers of its survival
        head, which decide C's size
    vision, memory, latents: folders of V, M and the encoded episodes, or an export's files of V, M and the starts. A
        dream needs no V and starts from latents; the world needs no latents, and no M where C sees z alone
    members: folders of the other Ms of an ensemble; seen: folder of an M that follows the dreams of the first, and
        whose state C sees in place of that one's
    learns: C learns here, so that all of `dream` holds; else only its temperature and termination
    curiosity: what a C that learns here is paid for what is new, see `RoundsConfig`
    limits: of episodes in the world; a dream has its horizon, or `DreamEngine.max_steps`
    """

    place: Place
    spec: WorldSpec
    controller: ControllerConfig
    latent_size: int
    memory_size: int
    dream: DreamConfig
    vision: Path | None = None
    memory: Path | None = None
    latents: Path | None = None
    seen: Path | None = None
    members: tuple[Path, ...] = ()
    survival_size: int = 0
    learns: bool = False
    curiosity: float = 0.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        needed = NEEDED[self.place] | ({"memory"} if self.controller.needs_memory else set())
        for name in sorted(needed):
            if getattr(self, name) is None:
                raise ReverieError(f"C cannot be tried in the {self.place} without the folder of {FOLDERS[name]}")

    @property
    def files(self) -> list[Path]:
        """The files and folders that it is opened from."""
        parts = (self.vision, self.memory, self.latents, self.seen, *self.members)
        return [place for place in parts if place is not None]

    def controller_shape(self) -> Controller:
        """The C that all candidates fill with their parameters."""
        sizes = self.latent_size, self.memory_size, self.spec.actions.size, self.survival_size
        return Controller(self.controller, self.controller.feature_size(*sizes), self.spec.actions)

    @property
    def episode_limits(self) -> Limits:
        """What ends an episode besides the env."""
        engines = self.engines()
        if not engines:
            return self.limits
        return Limits((self.dream.horizon if self.learns else None) or engines[0].max_steps)

    def engines(self) -> tuple[DreamEngine, ...]:
        """The dreams that take turns, one for each M, none of a world; loaded where they were not loaded here yet."""
        return _engines(self, _version(self)) if self.latents is not None else ()

    def envs(self, seeds: Sequence[int]) -> Iterator[tuple[FeatureEnv, np.ndarray]]:
        """The envs that play episodes of `seeds`, and the places int64 [k] in `seeds` of those that each plays.

        Which M of an ensemble dreams an episode follows from its seed.
        """
        engines = self.engines()
        if not engines:
            slots = most_slots(self.spec.name, min(ENVS_PER_WORKER, len(seeds)))
            yield SeenWorld(*_world(self, slots, _version(self))), np.arange(len(seeds))
        turns = {seed: int(generator(seed, "dream", "member").integers(max(1, len(engines)))) for seed in set(seeds)}
        for number, engine in enumerate(engines):
            places = np.array([place for place, seed in enumerate(seeds) if turns[seed] == number], np.int64)
            if len(places):
                yield Dream(engine, len(places), share_noise=True), places


def close_envs() -> None:
    """Forget, and close, all that this process has opened."""
    _engines.cache_clear()
    _world.cache_clear()


def portable(env: EnvSpec, folder: Path) -> EnvSpec:
    """The same over small files in `folder`, for workers on other machines: weights to the last bit, and the starts.

    A folder of checkpoints holds the optimizer's moments too, and one of latents every frame; neither is needed, but
    for dreams that start from the replay buffer and for what is new beside it. Further members stay as they are.
    """
    names = ["vision", "memory", "seen"]
    if not (env.learns and (env.dream.starts == "replay" or env.curiosity)):
        names.append("latents")
    changes: dict[str, Path] = {}
    for name in names:
        place: Path | None = getattr(env, name)
        if place is None or place.is_file():
            continue
        changes[name] = folder / f"{name}-{_state(place)}.safetensors"
        if changes[name].exists():
            continue
        if name == "latents":
            save_starts(changes[name], load_starts(place))
        elif weights := read_weights(place):
            arrays = {key: array for key, array in weights.arrays.items() if key.startswith("model.")}
            save_weights(changes[name], arrays, weights.settings, halve=False)
    return replace(env, **changes)  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _engines(env: EnvSpec, version: tuple[str, ...]) -> tuple[DreamEngine, ...]:
    assert env.latents is not None
    memory, seen = _memory(env), None if env.seen is None else load_memory(env.seen)
    if not env.learns:
        return (DreamEngine(memory, load_starts(env.latents), env.spec, env.dream, env.controller, seen=seen),)
    memories = [memory, *map(load_memory, env.members)]
    starts: Starts
    if env.dream.starts == "replay":
        followed = memories if seen is None else [*memories, seen]
        starts = replay_starts(followed, Latents(env.latents), env.spec.actions)
    else:
        starts = load_starts(env.latents)
    novelty = fit_novelty(Latents(env.latents), env.curiosity, 0) if env.curiosity else None
    return ensemble(memories, starts, env.spec, env.dream, env.controller, seen=seen, novelty=novelty)


def ensemble(
    memories: Sequence[MDNRNN],
    starts: Starts,
    spec: WorldSpec,
    config: DreamConfig,
    inputs: ControllerConfig,
    seen: MDNRNN | None = None,
    novelty: Novelty | None = None,
) -> tuple[DreamEngine, ...]:
    """The dreams that take turns: of every M, or of the first alone where the others are there to disagree with it.

    memories: the first is the agent's own, whose state C sees in every dream
    seen: another M, whose state C sees instead; in replay starts its states come last
    novelty: what a curious C is paid for
    """
    first, *others = memories
    last = () if seen is None else (len(memories),)
    make = partial(DreamEngine, spec=spec, config=config, inputs=inputs, dropout=config.dropout, novelty=novelty)
    if config.disagreement_penalty:
        begin = _of(starts, 0, *last, *range(1, len(memories)))
        return (make(first, begin, seen=seen, penalty=config.disagreement_penalty, others=others),)
    engines = [make(first, _of(starts, 0, *last), seen=seen)]
    for place, other in enumerate(others, start=1):
        engines.append(make(other, _of(starts, place, *(last or (0,))), seen=seen or first))
    return tuple(engines)


def _of(starts: Starts, *places: int) -> Starts:
    """Replay starts with the states of these Ms alone, the dreamer's first."""
    if not isinstance(starts, ReplayStarts):
        return starts
    return replace(starts, hidden=tuple(starts.hidden[place] for place in places))


@lru_cache(maxsize=2)
def _world(env: EnvSpec, slots: int, version: tuple[str, ...]) -> tuple[VectorEnv, Senses]:
    assert env.vision is not None
    memory = None if env.memory is None else _memory(env)
    senses = Senses(load_vision(env.vision), memory, env.controller, env.spec.actions)
    if senses.feature_size != env.controller_shape().feature_size:
        raise ReverieError(
            f"C reads {env.controller_shape().feature_size} features, but V in {env.vision} and M in "
            f"{env.memory} give {senses.feature_size}; take all three from one run"
        )
    return make(env.spec.name, slots), senses  # episodes have seeds of their own


def _memory(env: EnvSpec) -> MDNRNN:
    assert env.memory is not None
    return load_memory(env.memory)


def _version(env: EnvSpec) -> tuple[str, ...]:
    """Changes when V, M or the latents are made again, so that no process goes on with old ones."""
    files = [
        file for place in env.files for file in ([place] if place.is_file() else sorted(place.glob("*.safetensors")))
    ]
    return tuple(f"{file}:{file.stat().st_mtime_ns}" for file in files)


def _state(folder: Path) -> str:
    """Changes when the folder's tensors do."""
    files = [(file.name, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(f"{folder} {files}".encode()).hexdigest()[:16]
