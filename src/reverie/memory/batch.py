"""A window as M trains on it: its latents drawn anew, on the device, time first."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from reverie.memory.sequences import Window


@dataclass(frozen=True)
class Batch:
    """L steps of B streams, float32, time first; see `Window` for what each means.

    z, next_z: [L, B, Nz]; action, next_action: [L, B, A]; restart, has_next, done, reward, held, fatal: [L, B]
    """

    z: Tensor
    action: Tensor
    restart: Tensor
    next_z: Tensor
    done: Tensor
    reward: Tensor
    next_action: Tensor
    has_next: Tensor
    held: Tensor
    fatal: Tensor

    def __repr__(self) -> str:
        steps, streams, latent_size = self.z.shape
        return f"Batch(steps={steps}, streams={streams}, latent_size={latent_size}, device={self.z.device})"

    def cut(self, steps: int) -> tuple[Batch, Batch]:
        """The first `steps` steps, and the others."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        first = Batch(**{name: part[:steps] for name, part in parts.items()})
        return first, Batch(**{name: part[steps:] for name, part in parts.items()})


def draw_batch(window: Window, noise_seed: int, device: torch.device | str = "cpu") -> Batch:
    """Draw every z ~ N(mu, exp(logvar)) of a window anew, so that M cannot learn one sample by heart.

    The noise is a function of `noise_seed` alone, drawn on the CPU so that it is the same for every device.
    """
    generator = torch.Generator().manual_seed(noise_seed)
    return Batch(
        z=_draw(window.mu, window.logvar, generator).to(device),
        action=_time_first(window.action).to(device),
        restart=_time_first(window.restart).to(device),
        next_z=_draw(window.next_mu, window.next_logvar, generator).to(device),
        done=_time_first(window.done).to(device),
        reward=_time_first(window.reward).to(device),
        next_action=_time_first(window.next_action).to(device),
        has_next=_time_first(window.has_next).to(device),
        held=_time_first(window.held).to(device),
        fatal=_time_first(window.fatal).to(device),
    )


def draw_dropout(shape: tuple[int, ...], share: float, seed: int, dtype: torch.dtype) -> Tensor | None:
    """For each of B streams 0 for a `share` of M's H cells and 1 / (1 - share) for the others, `shape` [B, H]."""
    if not share:
        return None
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return ((drawn >= share) / (1 - share)).to(dtype)


def _draw(mu: np.ndarray, logvar: np.ndarray, generator: torch.Generator) -> Tensor:
    mean, log_variance = _time_first(mu), _time_first(logvar)
    noise = torch.randn(mean.shape, generator=generator)
    return noise.mul_(log_variance.mul_(0.5).exp_()).add_(mean)


def _time_first(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).transpose(0, 1).contiguous()
