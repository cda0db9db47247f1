"""Training V: the loop is `train_vision`, read top to bottom; what it calls stands below it."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import checkpoint_interval, log_interval, pack, require_same, unpack
from reverie.files.weights import read_weights
from reverie.hardware import keep_freed_memory
from reverie.progress import progress
from reverie.vision.batches import shifted
from reverie.vision.config import VisionConfig
from reverie.vision.frames import to_input
from reverie.vision.loss import change_weights
from reverie.vision.model import ConvVAE, fast_copy, initialise
from reverie.workers.seeds import generator, torch_seed
from reverie.workers.shards import Shards

MEAN_FRAME_BATCHES = 50
CHANGE_WEIGHT = 60.0  # of pixel_weight "change": a pixel counts 1 + 60 * |x - mean frame|^2, scaled to a mean of 1
LONGEST_INTERVAL = 500  # updates between two checkpoints


class Batches(Protocol):
    """Where frames come from: `FrameBatches`, or anything whose batch is a pure function of the update."""

    def batch(self, update: int) -> np.ndarray:
        """Frames uint8 [B, 64, 64, 3] of the update, which counts from 0."""

    def batch_with_means(self, update: int) -> tuple[np.ndarray, np.ndarray]:
        """Those frames, and for each of them the mean of the frames around it."""


def train_vision(
    config: VisionConfig,
    batches: Batches,
    folder: str | Path,
    seed: int,
    device: torch.device | str = "cpu",
    start: ConvVAE | None = None,
    checkpoint_every: int | None = None,
) -> ConvVAE:
    """Train V, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    An update is a pure function of the weights, Adam's moments, `seed` and its number, so a run that was killed ends
    with the same bits as one that was not, on any number of cores of the same kind of processor.
    start: the weights to begin at (an earlier round's V), None for random ones
    checkpoint_every: updates between two checkpoints; None: a twentieth of them all, at most 500
    Raises ReverieError where the loss is not finite or `folder` holds a training with other settings.
    """
    keep_freed_memory()
    model, optimizer = _new(config, seed, device)
    mean = mean_frame(batches, device) if config.centred or config.pixel_weight == "change" else None
    if start is not None:
        model.load_state_dict(start.state_dict())
    elif config.centred:
        model.mean_frame = mean
    done = _resume(Path(folder), model, optimizer, config, seed)
    if done == config.updates:
        if config.updates == 0:
            save_checkpoint(folder, Checkpoint(0, pack(model, optimizer), _state(config, seed)))
        return model
    fast = fast_copy(model)  # does the arithmetic; `model` keeps the float32 weights, too fine for bf16 to add up
    log = MetricsLog(Path(folder) / "metrics.jsonl", resume_step=done)
    size, log_every = config.batch_size, log_interval(config.updates)
    checkpoint_every = checkpoint_every or checkpoint_interval(config.updates, LONGEST_INTERVAL)
    shards, moves = Shards(size, device), config.pixel_weight == "motion"

    def loss_of(part: tuple[np.ndarray, np.ndarray, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        frames, around, noise = part
        x = to_input(frames, device)
        still = to_input(around, device) if moves else mean if config.pixel_weight == "change" else None
        weight = None if still is None else change_weights(x, still, CHANGE_WEIGHT)
        return fast.loss(x, noise.to(device), config.kl_tolerance, weight, config.centred)

    with log, progress(config.updates * size, "V: training", "frames", done * size) as bar:
        for update in range(done, config.updates):
            noise = _noise(seed, update, (size, config.latent_size))
            drawn = batches.batch_with_means(update) if moves else (batches.batch(update),) * 2
            if config.shift:
                rng = generator(seed, "vision", "shift", update)
                drawn = shifted(drawn, config.shift, rng)
            frames, around = (np.split(each, shards.count) for each in drawn)
            parts = list(zip(frames, around, noise.split(shards.size), strict=True))
            gradients, metrics = shards.gradients(list(fast.parameters()), loss_of, parts)
            values = {name: float(np.mean([part[name].item() for part in metrics])) for name in metrics[0]}
            if not math.isfinite(values["loss"]):
                raise ReverieError(_not_finite(values["loss"], update, config))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            rate = optimizer.param_groups[0]["lr"] = config.learning_rate_at(update)
            optimizer.step()
            _copy_weights(model, fast)

            step, last = update + 1, update + 1 == config.updates
            bar.advance(size, **values)
            if step % log_every == 0 or last:
                log.append(step=step, **values, learning_rate=rate, frames_per_second=bar.rate)
            if step % checkpoint_every == 0 or last:
                save_checkpoint(folder, Checkpoint(step, pack(model, optimizer), _state(config, seed)))
    return model


def load_vision(path: str | Path) -> ConvVAE:
    """V, float32, on the CPU: as the last checkpoint in a folder has it, or a file of `save_weights`."""
    weights = read_weights(path)
    if weights is None:
        raise ReverieError(f"{path} holds no checkpoint of V; run `reverie vision` first")
    size = weights.settings.get("latent_size")
    heads = weights.arrays.get("model.mu.weight", np.empty(0)).shape[:1]  # no more memory than the arrays take
    if type(size) is not int or size < 1 or heads != (size,):
        raise DamagedFileError(f"{path} holds no V: its latent_size is {size!r:.50}; restore it from a copy")
    model = ConvVAE(size, centred="model.mean_frame" in weights.arrays)
    unpack(weights.arrays, model, source=path)
    return model


def mean_frame(batches: Batches, device: torch.device | str = "cpu") -> torch.Tensor:
    """The mean of the first 50 batches, float32 [3, 64, 64] in [0, 1]."""
    means = [batches.batch(update).mean(axis=0) for update in range(MEAN_FRAME_BATCHES)]
    return torch.from_numpy(np.mean(means, axis=0)).to(device, torch.float32).permute(2, 0, 1) / 255


def _new(config: VisionConfig, seed: int, device: torch.device | str) -> tuple[ConvVAE, torch.optim.Adam]:
    model = ConvVAE(config.latent_size, config.centred)
    initialise(model, torch.Generator().manual_seed(torch_seed(seed, "vision", "weights")))
    model.to(device)
    return model, torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)


def _resume(folder: Path, model: ConvVAE, optimizer: torch.optim.Optimizer, config: VisionConfig, seed: int) -> int:
    """Load the last checkpoint, where there is one; returns how many updates it has done."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0
    require_same(folder, "a training of V", checkpoint.state, _state(config, seed))
    unpack(checkpoint.arrays, model, optimizer, source=folder)
    return checkpoint.step


def _state(config: VisionConfig, seed: int) -> dict[str, Any]:
    """What decides a training's result, as JSON."""
    return asdict(config) | {"seed": seed}


def _noise(seed: int, update: int, shape: tuple[int, int]) -> torch.Tensor:
    """Standard normal noise of one update, drawn on the CPU so that it is the same for every device."""
    generator = torch.Generator().manual_seed(torch_seed(seed, "vision", "noise", update))
    return torch.randn(shape, generator=generator)


@torch.no_grad()
def _copy_weights(source: ConvVAE, target: ConvVAE) -> None:
    for weight, copied in zip(source.parameters(), target.parameters(), strict=True):
        copied.copy_(weight)


def _not_finite(loss: float, update: int, config: VisionConfig) -> str:
    return (
        f"V's loss is {loss} at update {update + 1}, expected a finite number; "
        f"lower vision.learning_rate ({config.learning_rate}) and train V again in another run folder"
    )
