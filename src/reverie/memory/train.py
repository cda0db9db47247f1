"""Training M: `train_memory` is the loop, and what it calls stands below it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import checkpoint_interval, log_interval, pack, require_same, unpack
from reverie.files.weights import Weights, read_weights
from reverie.hardware import compute_dtype, keep_freed_memory
from reverie.memory.batch import Batch, draw_batch, draw_dropout
from reverie.memory.config import MemoryConfig
from reverie.memory.loss import memory_loss
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.memory.sequences import Streams, reward_scale, split_episodes
from reverie.progress import progress
from reverie.settings import to_json
from reverie.workers.seeds import torch_seed
from reverie.workers.shards import Shards

if TYPE_CHECKING:
    from reverie.vision.latents import Latents
    from reverie.worlds.spec import ActionSpec

GRAD_CLIP = 1.0  # each element of each gradient is clipped to [-1, 1]
REWARD_MARGIN = 2.0  # rewards that later rounds find may be so much larger before bins are laid out anew
LONGEST_INTERVAL = 100  # updates between two checkpoints


def train_memory(
    config: MemoryConfig,
    latents: Latents,
    actions: ActionSpec,
    folder: str | Path,
    seed: int,
    device: torch.device | str = "cpu",
    start: MDNRNN | None = None,
    dropout: float = 0.0,
    checkpoint_every: int | None = None,
) -> MDNRNN:
    """Train M, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    An update is a pure function of the weights, Adam's moments, the LSTM's state, `seed` and its number. So a training
    that was killed ends with the same bits as one that was not, on any number of cores of the same kind of processor.
    It ends with the weights that had the smallest loss on the episodes held out, where any are.
    start: the weights to begin at (an earlier round's M), None for random ones
    dropout: the share of M's h that its outputs do not see, drawn for each stream and update
    checkpoint_every: updates between two checkpoints, and held-out losses; None: a twentieth of all, at most 100
    Raises ReverieError where the loss is not finite or `folder` holds a training with other settings.
    """
    keep_freed_memory()
    training, held_out = split_episodes(latents)
    streams = _streams(latents, actions, config, seed, training)
    model = _first_model(config, latents, training, seed, start).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    state = model.initial_state(config.batch_size)
    settings, best = _settings(config, seed, dropout), Best(model)
    done, state = _resume(Path(folder), model, optimizer, state, best, settings)
    held_out_batch = _held_out_batch(latents, actions, config, seed, held_out, device)
    log_every = log_interval(config.updates)
    checkpoint_every = checkpoint_every or checkpoint_interval(config.updates, LONGEST_INTERVAL)
    dtype = compute_dtype(torch.device(device).type)
    log, shards = MetricsLog(Path(folder) / "metrics.jsonl", resume_step=done), Shards(config.batch_size, device)

    def loss_of(part: tuple[Batch, LSTMState, Tensor | None]) -> tuple[Tensor, tuple[LSTMState, dict[str, Tensor]]]:
        streams, begin, dropped = part
        end, loss, terms = memory_loss(model, begin, streams, actions, dtype, dropped)
        return loss, (LSTMState(end.h.detach(), end.c.detach()), terms)

    with log, progress(config.updates, "M: training", "updates", done) as bar:
        for update in range(done, config.updates):
            sequences = streams.sequences(update)
            batch = draw_batch(sequences, torch_seed(seed, "memory", "noise", update), device)
            if sequences.begins:
                state = model.initial_state(config.batch_size)
            dropped = draw_dropout(state.h.shape, dropout, torch_seed(seed, "memory", "dropout", update), dtype)
            parts = list(zip(batch.split(shards.size), state.split(shards.size), _split(dropped, shards), strict=True))
            gradients, results = shards.gradients(list(model.parameters()), loss_of, parts)
            state = LSTMState(*(torch.cat(each) for each in zip(*(end for end, _ in results), strict=True)))
            values = {name: float(np.mean([terms[name].item() for _, terms in results])) for name in results[0][1]}
            if not math.isfinite(sum(values.values())):
                raise ReverieError(_not_finite(sum(values.values()), update, config))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            torch.nn.utils.clip_grad_value_(model.parameters(), GRAD_CLIP)
            if config.clock:
                model.freeze_clock()
            rate = optimizer.param_groups[0]["lr"] = config.learning_rate_at(update)
            optimizer.step()

            step = update + 1
            measured = step % checkpoint_every == 0 or step == config.updates
            bar.advance(1, **values)
            if measured:
                held_out_losses = held_out_losses_of(model, held_out_batch, actions, dtype)
                if not math.isfinite(sum(held_out_losses.values())):
                    raise ReverieError(_not_finite(sum(held_out_losses.values()), update, config))
                if held_out_losses:
                    best.offer(model, sum(held_out_losses.values()), step)
                values |= held_out_losses
            if measured or step % log_every == 0:
                log.append(step=step, **values, learning_rate=rate, updates_per_second=bar.rate)
            if step == config.updates and held_out_batch is not None:
                best.restore(model)
            if measured:
                _save(folder, step, model, optimizer, state, best, settings)
    if config.updates == 0:
        _save(folder, 0, model, optimizer, state, best, settings)
    return model


def _first_model(
    config: MemoryConfig, latents: Latents, training: list[int], seed: int, start: MDNRNN | None
) -> MDNRNN:
    """M as its training begins: the weights of `start` or random ones, and the reward's scale."""
    model = MDNRNN(config, torch_seed(seed, "memory", "weights"))
    if start is not None:
        model.copy_weights(start)
        if config.clock:
            model.set_clock()  # `start` may have none
    if start is None or config.updates:  # an M that is not trained keeps its reward head's units
        _set_reward_scale(model, latents, training, start)
    return model


def _set_reward_scale(model: MDNRNN, latents: Latents, training: list[int], start: MDNRNN | None) -> None:
    """Bins reach to twice the largest reward; those of `start` stay what they stand for while they hold all rewards."""
    config = model.config
    if not config.reward_head:
        return
    scale = reward_scale(latents, training, largest=config.reward_bins > 0)
    if config.reward_bins:
        if start is not None and start.config.reward_bins and float(start.reward_scale) >= scale:
            return
        scale *= REWARD_MARGIN
    with torch.no_grad():
        model.reward_scale.fill_(scale)
        if config.reward_bins:
            for head in (model.head_weight, model.head_bias):
                model.parts(head, 0)["reward"].zero_()


def _split(dropped: Tensor | None, shards: Shards) -> list[Tensor | None]:
    return [None] * shards.count if dropped is None else list(dropped.split(shards.size))


class Best:
    """The weights of a training that had the smallest held-out loss so far, and the step after which they had it."""

    def __init__(self, model: MDNRNN) -> None:
        self.loss, self.step = float(np.finfo(np.float64).max), 0  # finite, as all that a checkpoint holds
        self._weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def offer(self, model: MDNRNN, loss: float, step: int) -> None:
        """Keep the model's weights where `loss` is smaller than all before."""
        if loss < self.loss:
            self.loss, self.step = loss, step
            self._weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def restore(self, model: MDNRNN) -> None:
        """Give the model those weights, where there are any."""
        if self.step:
            model.load_state_dict(self._weights)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it, by name; nothing before the first offer."""
        if not self.step:
            return {}
        weights = {f"best.{name}": tensor.cpu().numpy() for name, tensor in self._weights.items()}
        return weights | {"best": np.array([self.loss, self.step])}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        if "best" not in arrays:
            return
        self.loss, self.step = float(arrays["best"][0]), int(arrays["best"][1])
        for name, tensor in self._weights.items():
            tensor.copy_(torch.from_numpy(arrays[f"best.{name}"]))


def load_memory(path: str | Path) -> MDNRNN:
    """M, float32, on the CPU: as the last checkpoint in a folder has it, or a file of `save_weights`."""
    weights = read_weights(path)
    if weights is None:
        raise ReverieError(f"{path} holds no checkpoint of M; run `reverie memory` first")
    model = MDNRNN(_config_of(weights, path))
    unpack(weights.arrays, model, source=path)
    return model


def _config_of(weights: Weights, path: str | Path) -> MemoryConfig:
    """M's settings as its file has them."""
    names = {field.name for field in fields(MemoryConfig)}
    try:
        config = MemoryConfig(**{name: value for name, value in weights.settings.items() if name in names})
        asked = config.hidden_size * (4 * (config.input_size + config.hidden_size) + config.output_size)
    except (TypeError, ValueError) as error:
        raise DamagedFileError(f"{path} holds no M ({error!s:.200}); restore it from a copy") from None
    stored = sum(array.size for array in weights.arrays.values())
    if asked > 100 * stored:  # refuse before so much memory is allocated
        raise DamagedFileError(
            f"{path} holds no M: settings of {asked:,} weights, but {stored:,}; restore it from a copy"
        )
    return config


def losses_on(model: MDNRNN, latents: Latents, actions: ActionSpec, seed: int, episodes: list[int]) -> dict[str, float]:
    """The terms of M's loss on up to batch_size x sequence_length steps of `episodes`."""
    config, device = model.config, model.bias.device
    batch = _held_out_batch(latents, actions, config, seed, episodes, device)
    losses = held_out_losses_of(model, batch, actions, compute_dtype(device.type))
    return {name.removeprefix("held_out_"): value for name, value in losses.items()}


def _streams(
    latents: Latents, actions: ActionSpec, config: MemoryConfig, seed: int, episodes: list[int], length: int = 0
) -> Streams:
    """The streams of some episodes; `length` in place of the config's sequence_length where it is not 0."""
    length, with_holds = length or config.sequence_length, bool(config.survival_head)
    return Streams(latents, actions, config.batch_size, length, seed, episodes, with_holds)


def _held_out_batch(
    latents: Latents, actions: ActionSpec, config: MemoryConfig, seed: int, held_out: list[int], device: Any
) -> Batch | None:
    """2 L steps of held-out episodes with fixed noise, the same for a whole training; None where none is held out."""
    if not held_out:
        return None
    sequences = _streams(latents, actions, config, seed, held_out, length=2 * config.sequence_length).sequences(0)
    return draw_batch(sequences, torch_seed(seed, "memory", "held out"), device)


@torch.no_grad()
def held_out_losses_of(model: MDNRNN, batch: Batch | None, actions: ActionSpec, dtype: torch.dtype) -> dict[str, float]:
    """The terms of the loss on the second half of the steps; the first half warms M's state up."""
    if batch is None:
        return {}
    warm_up, measured = batch.cut(len(batch.z) // 2)
    state, _ = model.unroll(model.initial_state(batch.z.shape[1]), warm_up.z, warm_up.action, warm_up.restart, dtype)
    _, _, metrics = memory_loss(model, state, measured, actions, dtype)
    return {f"held_out_{name}": value.item() for name, value in metrics.items()}


def _settings(config: MemoryConfig, seed: int, dropout: float) -> dict[str, Any]:
    """What decides a training's result, as JSON."""
    return to_json(config) | {"seed": seed, "dropout": dropout}


def _save(
    folder: str | Path,
    step: int,
    model: MDNRNN,
    optimizer: torch.optim.Optimizer,
    state: LSTMState,
    best: Best,
    settings: dict[str, Any],
) -> None:
    carried = {f"state.{name}": tensor.cpu().numpy() for name, tensor in state._asdict().items()}
    save_checkpoint(folder, Checkpoint(step, pack(model, optimizer) | carried | best.to_arrays(), settings))


def _resume(
    folder: Path,
    model: MDNRNN,
    optimizer: torch.optim.Optimizer,
    state: LSTMState,
    best: Best,
    settings: dict[str, Any],
) -> tuple[int, LSTMState]:
    """Load the last checkpoint, where there is one; returns how many updates it has done and the LSTM's state."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0, state
    require_same(folder, "a training of M", checkpoint.state, settings)
    unpack(checkpoint.arrays, model, optimizer, source=folder)
    best.from_arrays(checkpoint.arrays)
    carried = {name: array for name, array in checkpoint.arrays.items() if array.shape == tuple(state.c.shape)}
    names = [f"state.{name}" for name in LSTMState._fields]
    if not carried.keys() >= set(names):
        raise DamagedFileError(f"{folder} holds no state of M's streams; remove the folder to train M again")
    h, c = (torch.from_numpy(carried[name]).to(state.c) for name in names)
    return checkpoint.step, LSTMState(h, c)


def _not_finite(loss: float, update: int, config: MemoryConfig) -> str:
    return (
        f"M's loss is {loss} at update {update + 1}, expected a finite number; "
        f"lower memory.learning_rate ({config.learning_rate}) and train M again in another run folder"
    )
