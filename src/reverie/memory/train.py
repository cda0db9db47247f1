"""Training M: the loop is `train_memory`, read top to bottom; what it calls stands below it."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import pack, require_same, unpack
from reverie.files.weights import Weights, read_weights
from reverie.hardware import compute_dtype, keep_freed_memory
from reverie.memory.batch import Batch, draw_batch, draw_dropout
from reverie.memory.config import CAME_LATER, MemoryConfig
from reverie.memory.loss import memory_loss
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.memory.sequences import Streams, reward_scale, split_episodes
from reverie.progress import progress
from reverie.workers.seeds import torch_seed

if TYPE_CHECKING:
    from reverie.vision.latents import Latents
    from reverie.worlds.spec import ActionSpec


def train_memory(
    config: MemoryConfig,
    latents: Latents,
    actions: ActionSpec,
    folder: str | Path,
    seed: int,
    device: torch.device | str = "cpu",
    start: MDNRNN | None = None,
    dropout: float = 0.0,
) -> MDNRNN:
    """Train M, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    An update is a pure function of the weights, Adam's moments, the LSTM's state, `seed` and its number, so a run that
    was killed ends with the same bits as one that was not (on the same kind of processor, with as many threads).
    start: the weights to begin at (an earlier round's M), None for random ones
    dropout: the share of cells that M's outputs do not see, others for each stream of an update
    Raises ReverieError where the loss is not finite or `folder` holds a training with other settings.
    """
    keep_freed_memory()
    training, held_out = split_episodes(latents, config.held_out_every)
    streams = Streams(latents, actions, config.batch_size, config.window, seed, training, bool(config.outlook))
    model = MDNRNN(config, torch_seed(seed, "memory", "weights")).to(device)
    if start is not None:
        model.take_over(start)
        if config.clock:
            model.wind_clock()  # where the start has none
    if start is None or config.updates:  # what is not trained keeps the units that its reward head learned in
        model.reward_scale.fill_(reward_scale(latents, training) if config.reward_head else 1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    state = model.initial_state(config.batch_size)
    settings = _settings(config, seed, dropout)
    done, state = _resume(Path(folder), model, optimizer, state, settings)
    unseen = _unseen_batch(latents, actions, config, seed, held_out, device)
    one_hot, dtype = actions.kind == "discrete", compute_dtype(torch.device(device).type)
    log = MetricsLog(Path(folder) / "metrics.jsonl", resume_step=done)
    with log, progress(config.updates, "M: training", "updates", done) as bar:
        for update in range(done, config.updates):
            window = streams.window(update)
            batch = draw_batch(window, torch_seed(seed, "memory", "noise", update), device)
            if window.begins:
                state = model.initial_state(config.batch_size)
            dropped = draw_dropout(state.h.shape, dropout, torch_seed(seed, "memory", "dropout", update), dtype)
            state, loss, metrics = memory_loss(model, state, batch, one_hot, dtype, dropped)
            if not math.isfinite(loss.item()):
                raise ReverieError(_not_finite(loss.item(), update, config))

            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(model.parameters(), config.clip)
            if config.clock:
                model.hold_clock()
            rate = optimizer.param_groups[0]["lr"] = config.learning_rate_at(update)
            optimizer.step()
            state = LSTMState(state.h.detach(), state.c.detach())

            step = update + 1
            measured = step % config.checkpoint_every == 0 or step == config.updates
            values = {name: value.item() for name, value in metrics.items()}
            bar.advance(1, **values)
            if measured:
                values |= _held_out_losses(model, unseen, one_hot, dtype)
            if measured or step % config.log_every == 0:
                log.append(step=step, **values, learning_rate=rate, updates_per_second=bar.rate)
            if measured:
                _save(folder, step, model, optimizer, state, settings)
    if config.updates == 0:
        _save(folder, 0, model, optimizer, state, settings)
    return model


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
    held = sum(array.size for array in weights.arrays.values())
    if asked > 100 * held:  # its memory would be taken before the arrays are seen not to fit
        raise DamagedFileError(
            f"{path} holds no M: settings of {asked:,} weights, but {held:,}; restore it from a copy"
        )
    return config


def losses_on(model: MDNRNN, latents: Latents, actions: ActionSpec, seed: int, episodes: list[int]) -> dict[str, float]:
    """The terms of M's loss on `episodes` that it was not trained on, on up to batch_size x window of their steps."""
    config, device = model.config, model.bias.device
    batch = _unseen_batch(latents, actions, config, seed, episodes, device)
    found = _held_out_losses(model, batch, actions.kind == "discrete", compute_dtype(device.type))
    return {name.removeprefix("held_out_"): value for name, value in found.items()}


def _unseen_batch(
    latents: Latents, actions: ActionSpec, config: MemoryConfig, seed: int, held_out: list[int], device: Any
) -> Batch | None:
    """Two windows of held-out episodes with fixed noise, the same for a whole training; None where none is held out."""
    if not held_out:
        return None
    window = Streams(
        latents, actions, config.batch_size, 2 * config.window, seed, held_out, bool(config.outlook)
    ).window(0)
    return draw_batch(window, torch_seed(seed, "memory", "held out"), device)


@torch.no_grad()
def _held_out_losses(model: MDNRNN, batch: Batch | None, one_hot: bool, dtype: torch.dtype) -> dict[str, float]:
    """The terms of the loss on the second window, M having seen the first: no stream is met with a cold state."""
    if batch is None:
        return {}
    seen, unseen = batch.cut(len(batch.z) // 2)
    state, _ = model.unroll(model.initial_state(batch.z.shape[1]), seen.z, seen.action, seen.restart, dtype)
    _, _, metrics = memory_loss(model, state, unseen, one_hot, dtype)
    return {f"held_out_{name}": value.item() for name, value in metrics.items()}


def _settings(config: MemoryConfig, seed: int, dropout: float) -> dict[str, Any]:
    """What decides a training's result, as JSON; without dropout, as trainings of before there was any have it."""
    settings = asdict(config)
    for name in ("log_every", "checkpoint_every"):
        del settings[name]
    settings["outlook"] = list(config.outlook)
    return settings | {"seed": seed} | ({"dropout": dropout} if dropout else {})


def _save(
    folder: str | Path,
    step: int,
    model: MDNRNN,
    optimizer: torch.optim.Optimizer,
    state: LSTMState,
    settings: dict[str, Any],
) -> None:
    carried = {f"state.{name}": tensor.cpu().numpy() for name, tensor in state._asdict().items()}
    save_checkpoint(folder, Checkpoint(step, pack(model, optimizer) | carried, settings))


def _resume(
    folder: Path, model: MDNRNN, optimizer: torch.optim.Optimizer, state: LSTMState, settings: dict[str, Any]
) -> tuple[int, LSTMState]:
    """Load the last checkpoint, where there is one; returns how many updates it has done and the LSTM's state."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0, state
    require_same(folder, "a training of M", CAME_LATER | dict(checkpoint.state), {"dropout": None} | settings)
    unpack(checkpoint.arrays, model, optimizer, source=folder)
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
