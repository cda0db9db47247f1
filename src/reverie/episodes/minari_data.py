"""Minari data sets: a store as one, without loss, and one as a store. docs/how-to/data-sets.md

Minari keeps images as JPEG unless told otherwise; ours are kept as they are, in HDF5, with 12 kB a frame.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Space

from reverie.episodes.config import require_space
from reverie.episodes.episode import Episode
from reverie.episodes.store import Store, missing_episodes
from reverie.errors import DamagedFileError, ReverieError
from reverie.progress import announce, progress
from reverie.worlds.generic.actions import action_spec, from_env_actions
from reverie.worlds.generic.options import split_name
from reverie.worlds.generic.pictures import Painter, Picture, pictures
from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import FRAME_SHAPE, ActionSpec, WorldSpec

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset

OURS = "reverie"  # in a data set's metadata: the kind and size of actions that are as C emits them
WITHOUT = "make a data set without it (minari.create_dataset_from_buffers), or mend it where it was recorded"
RECORDED = "recorded"  # the policy of episodes that do not say what acted


def export_minari(store: Store, spec: WorldSpec, name: str) -> Path:
    """Write every episode of the store to a new local Minari data set; returns its folder.

    Raises: ReverieError where there is one of that name, the name is none, or the store is empty.
    """
    minari, entries = _minari(), store.entries
    if not entries:
        raise ReverieError(f"{store.folder} holds no episodes; run `reverie collect` first")
    folder = Path(minari.storage.get_dataset_path(name)) if _is_name(name) else Path()
    if not _is_name(name) or folder.exists():
        fault = "exists already" if _is_name(name) else "is no name; expected such as doom/held-v0"
        raise ReverieError(f"Minari data set {name!r} {fault}; choose another name")
    require_space(folder, spec.name, len(entries), store.total_frames * (int(np.prod(FRAME_SHAPE)) + 100))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an author, a link and an algorithm that are not given
            data = minari.create_dataset_from_buffers(
                name,
                _buffers(store),
                observation_space=Box(0, 255, FRAME_SHAPE, np.uint8),
                action_space=Box(-1, 1, (spec.actions.size,), np.float32),
                description=f"Reverie's world {spec.name!r}: frames as V sees them, actions as C emits them.",
                data_format="hdf5",
                jpeg_encoding=False,
            )
        said = ({"index": entry.index, "policy": entry.policy} for entry in entries)
        data.storage.update_episode_metadata(said, range(len(entries)))
        data.storage.update_metadata({OURS: spec.actions.as_dict()})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def minari_size(name: str) -> tuple[int, str]:
    """How many episodes a local data set has, and what changes when it does."""
    data = _open(name)
    digest = hashlib.sha256((Path(data.storage.data_path) / "metadata.json").read_bytes()).hexdigest()
    return int(data.total_episodes), digest[:16]


def import_minari(name: str, store: Store, spec: WorldSpec) -> None:
    """Fill the store with all episodes of a local data set, those that it has already left as they are.

    Images of any size become frames of 64x64; actions of a Box or Discrete space become vectors as C emits them.
    Raises: ReverieError where there are no images, or the actions are not the world's.
    """
    data = _open(name)
    see, act = _eyes(name, data.observation_space, split_name(spec.name)[1].observation), _hands(name, data, spec)
    if getattr(data.storage, "jpeg_encoding", False):
        announce(f"{name} keeps pictures as JPEG: they are close to those that were recorded, not the same")
    total = int(data.total_episodes)
    indices = missing_episodes(store, range(total))
    with progress(total, f"import {name}", "episodes", total - len(indices)) as bar:
        for index in indices:
            found, about = _read(name, data, index)
            seed = about.get("seed")
            known = int(seed) if isinstance(seed, int | np.integer) and 0 <= seed < 2**32 else 0
            policy = str(about.get("policy", RECORDED))
            store.append(index, _episode(name, found, see, act), known, policy)
            bar.advance(1)


def _buffers(store: Store) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    with progress(len(store.entries), "export", "episodes") as bar:
        for number, entry in enumerate(store.entries):
            episode = store.read(entry.index)
            last = np.arange(1, len(episode) + 1) == len(episode)
            yield EpisodeBuffer(
                id=number,
                seed=entry.seed,
                observations=episode.frames,
                actions=episode.actions,
                rewards=episode.rewards,
                terminations=last & episode.terminated,
                truncations=last & (not episode.terminated),
            )
            bar.advance(1)


def _read(name: str, data: MinariDataset, index: int) -> tuple[EpisodeData, dict[str, Any]]:
    """An episode, and what is said of it; a file that is cut short shows it only here."""
    number = int(data.episode_indices[index])
    try:
        (found,) = data.iterate_episodes([number])
        (about,) = data.storage.get_episode_metadata([number])
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError; JPEG's decoder others
        raise DamagedFileError(
            f"episode {number} of Minari data set {name!r} cannot be read ({type(error).__name__}: {error!s:.200}); "
            f"download or export it again (`minari download {name}`), then give the same command again"
        ) from None
    return found, about


def _episode(name: str, found: EpisodeData, see: Any, act: Any) -> Episode:
    steps = len(found.rewards)
    fault = f"episode {found.id} of Minari data set {name!r}"
    if steps == 0:
        raise DamagedFileError(f"{fault} is empty; {WITHOUT}")
    try:
        actions = act(found.actions, steps)
        with np.errstate(over="ignore"):  # of float64; infinities are told below
            rewards = np.asarray(found.rewards).astype(np.float32).reshape(steps)
        frames = see(found.observations)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DamagedFileError(f"{fault} is not what its spaces say ({error!s:.200}); {WITHOUT}") from None
    if not (np.isfinite(actions).all() and np.isfinite(rewards).all()):
        raise DamagedFileError(f"{fault} holds NaN or infinity; {WITHOUT}")
    if len(frames) == steps:  # some leave out what the last step led to
        frames = np.concatenate([frames, frames[-1:]])
    if len(frames) != steps + 1:
        raise DamagedFileError(f"{fault} has {len(frames)} pictures for {steps} steps, expected one more; {WITHOUT}")
    return Episode(frames, actions, rewards, bool(np.ravel(found.terminations)[-1]))


def _eyes(name: str, space: Space, named: str | None) -> Any:
    """A function from an episode's observations to frames uint8 [T + 1, 64, 64, 3]."""
    picture = _picture(name, space, named)
    painter = Painter(picture.layout)
    resizes: dict[tuple[int, ...], AreaResize] = {}

    def see(observations: Any) -> np.ndarray:
        frames = []
        for image in map(painter, picture.find(observations)):
            if image.shape not in resizes:
                resizes[image.shape] = AreaResize(*image.shape[:2])
            frames.append(image if image.shape == FRAME_SHAPE else resizes[image.shape](image).copy())
        return np.stack(frames)

    return see


def _picture(name: str, space: Space, named: str | None) -> Picture:
    """The picture among the observations: the one that is named, or the only one beyond doubt."""
    found = pictures(space)
    chosen = [picture for picture in found if (picture.key == named if named is not None else picture.layout.is_sure)]
    if len(chosen) == 1:
        return chosen[0]
    text = " ".join(str(space).split())[:300]
    if not found:
        raise ReverieError(f"Minari data set {name!r} shows no pixels, but {text}; expected pictures")
    keys = ", ".join(picture.key or "observations" for picture in chosen or found)
    if named is not None:
        raise ReverieError(f"Minari data set {name!r} has no picture {named!r}; those that it has are {keys}")
    if not found[0].path:
        raise ReverieError(f"Minari data set {name!r} shows {text}, which may be no picture; expected uint8 images")
    raise ReverieError(
        f"Minari data set {name!r} has several arrays that may be pictures, {keys}; name the one to take, as "
        f"--world.observation {(chosen or found)[0].key}"
    )


def _hands(name: str, data: MinariDataset, spec: WorldSpec) -> Any:
    """A function from an episode's actions to vectors float32 [T, A] as C emits them."""
    space, ours, actions = data.action_space, data.storage.metadata.get(OURS), spec.actions
    if ours == json.loads(json.dumps(actions.as_dict())):
        return lambda taken, steps: np.asarray(taken, np.float32)
    if ours is None and space == Box(-1, 1, (actions.size,), np.float32):  # ours, joined or split by Minari since
        return lambda taken, steps: _emitted(np.asarray(taken, np.float32), actions)
    if ours is None and _is_same(space, actions):
        return lambda taken, steps: from_env_actions(space, taken, steps)
    groups = f" in groups of {', '.join(map(str, actions.groups))}" if actions.groups else ""
    raise ReverieError(
        f"Minari data set {name!r} has actions {ours or space}, but those of {spec.name} are {actions.kind}, "
        f"{actions.size} of them{groups}; take another data set, or the world that it was recorded in"
    )


def _is_same(space: Space, actions: ActionSpec) -> bool:
    try:
        return action_spec("", space) == actions
    except ReverieError:
        return False


def _emitted(taken: np.ndarray, actions: ActionSpec) -> np.ndarray:
    """The vectors, which must be such as C emits: one-hot where it chooses."""
    for span in actions.spans:
        group = taken[:, span.start : span.stop]
        if span.one_hot and not ((group.max(1) == 1) & (np.abs(group).sum(1) == 1)).all():
            raise ValueError("its actions are no choices of one out of several")
    return taken


def _open(name: str) -> MinariDataset:
    try:
        data: MinariDataset = _minari().load_dataset(name)
    except FileNotFoundError:
        raise ReverieError(
            f"there is no Minari data set {name!r} on this machine; `minari list local` shows those that there are, "
            f"`minari download {name}` fetches one"
        ) from None
    except ImportError as error:  # of another file format; Minari says what to install
        raise ReverieError(f"Minari data set {name!r} cannot be opened: {error}") from None
    except Exception as error:  # a data set that is damaged, or of another version: Minari raises anything
        raise DamagedFileError(
            f"Minari data set {name!r} cannot be opened ({type(error).__name__}: {error!s:.200}); "
            "download or export it again"
        ) from None
    return data


def _is_name(name: str) -> bool:
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        return parse_dataset_id(name) is not None
    except (ValueError, TypeError):  # TypeError: a name without a version
        return False


def _minari() -> Any:
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError:
        raise ReverieError("Minari is not installed: pip install 'reverie[minari]'") from None
    return minari
