"""The tensors of one update of M: latents sampled anew from V's Gaussians, on the device, time first."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from reverie.memory.sequences import Sequences


@dataclass(frozen=True)
class Batch:
    """L steps of B streams, float32, time first; see `Sequences` for their meaning.

    z, next_z: [L, B, Nz]; action, next_action: [L, B, A]; all others: [L, B]
    """

    z: Tensor
    action: Tensor
    restart: Tensor
    next_z: Tensor
    done: Tensor
    reward: Tensor
    next_action: Tensor
    has_next: Tensor
    hold_steps: Tensor
    hold_dies: Tensor

    def __repr__(self) -> str:
        steps, streams, latent_size = self.z.shape
        return f"Batch(steps={steps}, streams={streams}, latent_size={latent_size}, device={self.z.device})"

    def split(self, streams: int) -> list[Batch]:
        """The batch as several, of so many streams each."""
        names = [field.name for field in fields(self)]
        parts = zip(*(getattr(self, name).split(streams, 1) for name in names), strict=True)
        return [Batch(**{name: part.contiguous() for name, part in zip(names, each, strict=True)}) for each in parts]

    def cut(self, steps: int) -> tuple[Batch, Batch]:
        """The first `steps` steps, and the others."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        first = Batch(**{name: part[:steps] for name, part in parts.items()})
        return first, Batch(**{name: part[steps:] for name, part in parts.items()})


def draw_batch(sequences: Sequences, noise_seed: int, device: torch.device | str = "cpu") -> Batch:
    """Sample every z ~ N(mu, exp(logvar)), anew for each update: M cannot memorise one sample.

    The noise is a function of `noise_seed` alone, drawn on the CPU so that it is the same for every device.
    """
    generator = torch.Generator().manual_seed(noise_seed)
    return Batch(
        z=_draw(sequences.mu, sequences.logvar, generator).to(device),
        action=_time_first(sequences.action).to(device),
        restart=_time_first(sequences.restart).to(device),
        next_z=_draw(sequences.next_mu, sequences.next_logvar, generator).to(device),
        done=_time_first(sequences.done).to(device),
        reward=_time_first(sequences.reward).to(device),
        next_action=_time_first(sequences.next_action).to(device),
        has_next=_time_first(sequences.has_next).to(device),
        hold_steps=_time_first(sequences.hold_steps).to(device),
        hold_dies=_time_first(sequences.hold_dies).to(device),
    )


def draw_dropout(shape: tuple[int, ...], share: float, seed: int, dtype: torch.dtype) -> Tensor | None:
    """A dropout mask of `shape` [B, H]: 0 for a `share` of the cells of each stream, 1 / (1 - share) for the others.

    None where the share is 0.
    """
    if not share:
        return None
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return ((uniform >= share) / (1 - share)).to(dtype)


def _draw(mu: np.ndarray, logvar: np.ndarray, generator: torch.Generator) -> Tensor:
    mean, log_variance = _time_first(mu), _time_first(logvar)
    noise = torch.randn(mean.shape, generator=generator)
    return noise.mul_(log_variance.mul_(0.5).exp_()).add_(mean)


def _time_first(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).transpose(0, 1).contiguous()
