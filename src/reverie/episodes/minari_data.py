"""Minari data sets: a store as one, without loss, and one as a store. docs/minari.md

Minari keeps images as JPEG unless told otherwise; ours are kept as they are, in HDF5, with 12 kB a frame.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

from reverie.episodes.block import missing_episodes
from reverie.episodes.disk import require_space
from reverie.episodes.episode import Episode
from reverie.episodes.store import Store
from reverie.errors import DamagedFileError, ReverieError
from reverie.progress import progress
from reverie.worlds.generic import box_bounds, is_image
from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import FRAME_SHAPE, WorldSpec

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset

OURS = "reverie"  # in a data set's metadata: the kind and size of actions that are as C emits them
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
        data.storage.update_metadata({OURS: {"kind": spec.actions.kind, "size": spec.actions.size}})
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
    see, act = _eyes(name, data.observation_space), _hands(name, data, spec)
    total = int(data.total_episodes)
    indices = missing_episodes(store, range(total))
    with progress(total, f"import {name}", "episodes", total - len(indices)) as bar:
        for index in indices:
            (found,) = data.iterate_episodes([int(data.episode_indices[index])])
            (about,) = data.storage.get_episode_metadata([int(data.episode_indices[index])])
            policy = str(about.get("policy", RECORDED))
            store.append(index, _episode(name, found, see, act), int(about.get("seed") or 0), policy)
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


def _episode(name: str, found: EpisodeData, see: Any, act: Any) -> Episode:
    steps = len(found.rewards)
    actions, rewards = act(found.actions), np.asarray(found.rewards, np.float32)
    if steps == 0 or not (np.isfinite(actions).all() and np.isfinite(rewards).all()):
        raise DamagedFileError(f"episode {found.id} of Minari data set {name!r} is empty or holds NaN; leave it out")
    return Episode(see(found.observations), actions, rewards, bool(found.terminations[-1]))


def _eyes(name: str, space: Space) -> Any:
    """A function from an episode's observations to frames uint8 [T + 1, 64, 64, 3]."""
    key = None
    if isinstance(space, Dict):
        key = next((key for key, part in space.spaces.items() if is_image(part)), None)
    image = space if key is None else space[key]  # type: ignore[index]
    if not is_image(image):
        raise ReverieError(f"Minari data set {name!r} shows no pixels, but {space}; expected uint8 images")

    def see(observations: Any) -> np.ndarray:
        images = np.asarray(observations if key is None else observations[key], np.uint8)
        if images.ndim == 3 or images.shape[3] == 1:
            images = np.repeat(images.reshape(*images.shape[:3], 1), 3, axis=3)
        if images.shape[1:] == FRAME_SHAPE:
            return images
        resize = AreaResize(*images.shape[1:3])
        return np.stack([resize(image).copy() for image in images])

    return see


def _hands(name: str, data: MinariDataset, spec: WorldSpec) -> Any:
    """A function from an episode's actions to vectors float32 [T, A] as C emits them."""
    space, ours = data.action_space, data.storage.metadata.get(OURS)
    kind, size = spec.actions.kind, spec.actions.size
    if ours == {"kind": kind, "size": size}:
        return lambda actions: np.asarray(actions, np.float32)
    if ours is None and kind == "discrete" and isinstance(space, Discrete) and space.n == size:
        rows = np.eye(size, dtype=np.float32)
        return lambda actions: rows[np.asarray(actions).reshape(-1) - int(space.start)]
    if ours is None and kind == "continuous" and isinstance(space, Box) and np.prod(space.shape) == size:
        low, high = (bound.reshape(-1) for bound in box_bounds(space))

        def act(actions: Any) -> np.ndarray:
            values = np.asarray(actions, np.float64).reshape(len(actions), -1)
            return ((values - low) / (high - low) * 2 - 1).clip(-1, 1).astype(np.float32)

        return act
    raise ReverieError(
        f"Minari data set {name!r} has actions {ours or space}, but those of {spec.name} are {kind}, {size} of them; "
        "take another data set, or the world that it was recorded in"
    )


def _open(name: str) -> MinariDataset:
    try:
        data: MinariDataset = _minari().load_dataset(name)
    except FileNotFoundError:
        raise ReverieError(
            f"there is no Minari data set {name!r} on this machine; `minari list local` shows those that there are, "
            f"`minari download {name}` fetches one"
        ) from None
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
