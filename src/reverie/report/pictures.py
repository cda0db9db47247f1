"""Frames as pictures inside the page: PNG data URIs, strips, what V sees, what each latent means."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from reverie.vision.encode import decode_frames, encode_frames

if TYPE_CHECKING:
    from reverie.vision.model import ConvVAE

GAP = 3  # transparent pixels between the frames of a strip
TRAVERSED, COLUMNS, REACH = 6, 9, 3.0  # latents shown, pictures of each, and how far (the prior's std is 1)


@dataclass(frozen=True)
class Traversal:
    """One latent moved alone, the others kept: `strip` is a data URI of its frames from -REACH to +REACH."""

    latent: int
    nats: float
    strip: str


def data_uri(mime: str, content: bytes) -> str:
    """Bytes as a URL that needs no server."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def png(pixels: np.ndarray) -> str:
    """A picture uint8 [H, W, 3 or 4] as a PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return data_uri("image/png", buffer.getvalue())


def strip(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [n, H, W, 3] side by side with transparent gaps, uint8 [H, n * (W + GAP) - GAP, 4]."""
    count, height, width, _ = frames.shape
    tiles = np.zeros((count, height, width + GAP, 4), np.uint8)
    tiles[:, :, :width, :3] = frames
    tiles[:, :, :width, 3] = 255
    return tiles.transpose(1, 0, 2, 3).reshape(height, count * (width + GAP), 4)[:, :-GAP]


def spread_frames(episodes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """`count` frames at even distances over all frames of several episodes, each [T, 64, 64, 3]."""
    lengths = np.array([len(frames) for frames in episodes])
    ends = np.cumsum(lengths)
    places = (np.arange(count) + 0.5) / count * ends[-1]
    episode = np.searchsorted(ends, places.astype(int), side="right")
    return np.stack([episodes[e][int(p) - (ends[e] - lengths[e])] for e, p in zip(episode, places, strict=True)])


def reconstructions(vision: ConvVAE, frames: np.ndarray) -> list[tuple[str, str]]:
    """Each frame of uint8 [n, 64, 64, 3] and what V makes of it (its mean latent, decoded), as data URIs."""
    mu, _ = encode_frames(vision, frames)
    return [(png(frame), png(decoded)) for frame, decoded in zip(frames, decode_frames(vision, mu), strict=True)]


def traversals(vision: ConvVAE, frames: np.ndarray, start: int = 0) -> list[Traversal]:
    """The latents that tell V most about `frames` [n, 64, 64, 3], each moved through the prior from frame `start`."""
    mu, logvar = (latents.cpu() for latents in encode_frames(vision, frames))
    nats = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(dim=0)
    results = []
    for latent in nats.argsort(descending=True, stable=True)[:TRAVERSED].tolist():
        z = mu[start].repeat(COLUMNS, 1)
        z[:, latent] = torch.linspace(-REACH, REACH, COLUMNS)
        results.append(Traversal(latent, float(nats[latent]), png(strip(decode_frames(vision, z)))))
    return results
