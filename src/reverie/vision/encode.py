"""Frames to latents and back: in batches, or a whole store into the part files that `Latents` reads."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import sweep_temporary
from reverie.files.training import pack
from reverie.hardware import keep_freed_memory
from reverie.progress import progress
from reverie.rollouts.episode import Episode
from reverie.rollouts.manifest import Entry
from reverie.rollouts.store import Store
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


def encode_store(model: ConvVAE, store: Store, folder: str | Path) -> Latents:
    """Encode every episode of `store` into part files in `folder`; parts that are there and still true stay.

    The latents of an episode depend on V and that episode alone. A part is still true while V's weights and the
    episodes' checksums are the ones that it names.
    """
    if not store.entries:
        raise ReverieError(f"{store.folder} holds no episodes; run `reverie collect` first")
    keep_freed_memory()
    folder, fast = Path(folder), fast_copy(model)
    parts = _parts(store.entries, _digest(model))
    wanted = [part_path(folder, number) for number in range(len(parts))]
    missing = [(path, part) for path, part in zip(wanted, parts, strict=True) if not _is_there(path, part)]
    total, to_do = store.total_frames, sum(entry.steps + 1 for _, part in missing for entry in part.entries)
    episodes = _read_ahead(store, [entry.index for _, part in missing for entry in part.entries])
    with progress(total, "V: encoding", "frames", total - to_do) as bar:
        for path, part in missing:
            encoded = []
            for _ in part.entries:
                episode = next(episodes)
                encoded.append(_encode_episode(fast, episode))
                bar.advance(len(episode.frames))
            write_part(path, part, encoded)
    for path in set(folder.glob("part-*.safetensors")) - set(wanted):
        path.unlink()
    sweep_temporary(folder)
    return Latents(folder)


def _encode_episode(model: ConvVAE, episode: Episode) -> LatentEpisode:
    mu, logvar = (latent.cpu().numpy().astype(np.float16) for latent in encode_frames(model, episode.frames))
    return LatentEpisode(mu, logvar, episode.actions, episode.rewards, episode.terminated)


def _split(frames: np.ndarray) -> list[np.ndarray]:
    """Batches of about equal size, none over 512 frames."""
    return np.array_split(frames, -(-len(frames) // BATCH_FRAMES))


def _parts(entries: Sequence[Entry], vision: str) -> list[Part]:
    """The store's episodes by index, 64 to a part."""
    latent_entries = [LatentEntry(e.index, e.steps, e.total_reward, e.terminated, e.sha256) for e in entries]
    starts = range(0, len(entries), PART_EPISODES)
    return [Part(vision, tuple(latent_entries[start : start + PART_EPISODES])) for start in starts]


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
