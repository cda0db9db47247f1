"""Frames to latents and back: in batches, or a whole store into the part files that `Latents` reads."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reverie.episodes.episode import Episode
from reverie.episodes.manifest import Entry
from reverie.episodes.store import Store
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import sweep_temporary
from reverie.files.training import pack
from reverie.hardware import keep_freed_memory
from reverie.progress import progress
from reverie.vision.frames import to_frames, to_input
from reverie.vision.latents import (
    PART_EPISODES,
    LatentEntry,
    LatentEpisode,
    Latents,
    Part,
    part_path,
    read_part,
    write_part,
)
from reverie.vision.model import ConvVAE, fast_copy
from reverie.workers.shards import SHARDS, Shards
from reverie.worlds.spec import ActionSpec

BATCH_FRAMES = 512
READ_AHEAD = 2  # episodes


@torch.inference_mode()
def encode_frames(model: ConvVAE, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """mu and logvar, both float32 [n, Nz] on the model's device, of frames uint8 [n, 64, 64, 3].

    Computes in the format of the model's weights: give it a `fast_copy` where speed counts.
    """
    device = model.mu.weight.device
    batches = [model.encode(to_input(batch, device)) for batch in _split(frames)]
    return torch.cat([mu for mu, _ in batches]), torch.cat([logvar for _, logvar in batches])


@torch.inference_mode()
def decode_frames(model: ConvVAE, z: torch.Tensor) -> np.ndarray:
    """The frames uint8 [n, 64, 64, 3] that V draws for latents z float32 [n, Nz]."""
    return np.concatenate(
        [to_frames(model.decode(batch)) for batch in z.to(model.mu.weight.device).split(BATCH_FRAMES)]
    )


def encode_store(
    model: ConvVAE, store: Store, folder: str | Path, mirror: ActionSpec | None = None, first: int | None = None
) -> Latents:
    """Encode every episode of `store` into part files in `folder`; parts that are there and still true stay.

    mirror: the world's actions, where the mirror image of every episode is to be encoded too.
    first: how many episodes, None for all

    The latents of an episode depend on V and that episode alone. A part is still true while V's weights and the
    episodes' checksums are the ones that it names.
    """
    if not store.entries:
        raise ReverieError(f"{store.folder} holds no episodes; run `reverie collect` first")
    keep_freed_memory()
    folder, fast, shards = Path(folder), fast_copy(model), Shards(SHARDS, model.mu.weight.device)
    wanted = _parts(folder, store.entries[:first], _digest(model), mirror is not None)
    missing = [(path, part) for path, part in wanted.items() if not _is_there(path, part)]
    entries = [entry for _, part in missing for entry in part.entries]
    total = sum(entry.steps + 1 for part in wanted.values() for entry in part.entries)
    to_do = sum(entry.steps + 1 for entry in entries)
    episodes = _read_ahead(store, [_source(entry) for entry in entries])
    with progress(total, "V: encoding", "frames", total - to_do) as bar:
        for path, part in missing:
            encoded = list[LatentEpisode]()
            for group in _groups(part.entries):
                shown = [_shown(next(episodes), entry, mirror) for entry in group]
                encoded += shards.map(lambda episode: encode_episode(fast, episode), shown)
                bar.advance(sum(len(episode.frames) for episode in shown))
            write_part(path, part, encoded)
    for path in {*folder.glob("part-*.safetensors"), *folder.glob("mirrored-*.safetensors")} - set(wanted):
        path.unlink()
    sweep_temporary(folder)
    return Latents(folder)


def encode_episode(model: ConvVAE, episode: Episode) -> LatentEpisode:
    """An episode as a `fast_copy` of V sees it."""
    mu, logvar = (latent.cpu().numpy().astype(np.float16) for latent in encode_frames(model, episode.frames))
    return LatentEpisode(mu, logvar, episode.actions, episode.rewards, episode.terminated)


def _split(frames: np.ndarray) -> list[np.ndarray]:
    """Batches of about equal size, none over 512 frames."""
    return np.array_split(frames, -(-len(frames) // BATCH_FRAMES))


def _parts(folder: Path, entries: Sequence[Entry], vision: str, mirror: bool) -> dict[Path, Part]:
    """The store's episodes by index, 64 to a part, and their mirror images likewise."""
    parts = {}
    for mirrored in (False, True) if mirror else (False,):
        for number, start in enumerate(range(0, len(entries), PART_EPISODES)):
            listed = tuple(_latent_entry(entry, mirrored) for entry in entries[start : start + PART_EPISODES])
            parts[part_path(folder, number, mirrored)] = Part(vision, listed)
    return parts


def _latent_entry(entry: Entry, mirrored: bool) -> LatentEntry:
    index = -1 - entry.index if mirrored else entry.index
    return LatentEntry(index, entry.steps, entry.total_reward, entry.terminated, entry.sha256)


def _source(entry: LatentEntry) -> int:
    """The store's index of the episode that an entry shows, as it is or in a mirror."""
    return entry.index if entry.index >= 0 else -1 - entry.index


def _groups(entries: Sequence[LatentEntry]) -> list[Sequence[LatentEntry]]:
    """As many at a time as threads can encode."""
    return [entries[first : first + SHARDS] for first in range(0, len(entries), SHARDS)]


def _shown(episode: Episode, entry: LatentEntry, mirror: ActionSpec | None) -> Episode:
    """The episode, or its mirror image where that is the entry's."""
    return _mirrored(episode, mirror) if mirror is not None and entry.index < 0 else episode


def _mirrored(episode: Episode, actions: ActionSpec) -> Episode:
    frames = np.ascontiguousarray(episode.frames[:, :, ::-1])
    return replace(episode, frames=frames, actions=actions.mirrored(episode.actions))


def _is_there(path: Path, part: Part) -> bool:
    try:
        return path.exists() and read_part(path) == part
    except DamagedFileError:
        return False


def _read_ahead(store: Store, indices: Sequence[int]) -> Iterator[Episode]:
    """The episodes in order; a thread reads the next ones while V encodes."""
    with ThreadPoolExecutor(1, thread_name_prefix="episodes") as reader:
        pending: deque[Future[Episode]] = deque()
        for index in indices:
            pending.append(reader.submit(store.read, index))
            if len(pending) > READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _digest(model: ConvVAE) -> str:
    """SHA-256 of V's weights."""
    digest = hashlib.sha256()
    for name, array in sorted(pack(model).items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()
