"""C by gradients in the dream: the loop is `learn`, read top to bottom; what it calls stands below it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.dream.engine import DreamEngine
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import pack, require_same, unpack
from reverie.hardware import keep_freed_memory, pin_threads
from reverie.learning import backprop, ppo
from reverie.learning.arena import Arena, open_dream, open_guarded
from reverie.learning.config import CAME_LATER, GradientConfig, require_method
from reverie.learning.dreams import AllDreams
from reverie.learning.learner import Learner
from reverie.progress import progress
from reverie.workers.seeds import torch_seed

SURVEY = 300  # steps of every dream from which the scales are taken: cells that count slowly move in them
UPDATES = {"ppo": ppo.update, "backprop": backprop.update}
RECENT = 1024  # dreams that the mean return shown is taken over


def learn(
    config: GradientConfig,
    engines: Sequence[DreamEngine],
    folder: str | Path,
    seed: int,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Train C in the dream, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    An update is a pure function of the learner, the dreams' state, `seed` and its number, so a run that was killed ends
    with the same bits as one that was not (on the same kind of processor, with as many threads).
    engines: the dreams, alike in all but their M; each has its share of them
    start: the parameters [n] to begin at, None for zeros
    Returns C's parameters, float64 [n]. Raises ReverieError where the loss is not finite, the method does not suit the
    world, or `folder` holds a training with other settings.
    """
    require_method(config.method, engines[0].spec, engines[0].config.done)
    keep_freed_memory()
    folder, device = Path(folder), engines[0].memory.device
    learner = Learner(engines[0].controller, config, start, torch_seed(seed, "gradient", "weights")).to(device)
    optimizer = _optimizer(learner, config)
    dreams = AllDreams(engines, config.dreams, _generator(seed, "begin", device=device))
    settings = _settings(config, seed)
    recent, passed = deque[float](maxlen=RECENT), deque[np.ndarray](maxlen=config.average)
    done = _resume(folder, learner, optimizer, dreams, recent, passed, settings)
    improve, steps_each = UPDATES[config.method], config.dreams * config.window
    log = MetricsLog(folder / "metrics.jsonl", resume_step=done)
    with log, progress(config.updates, "C: learning in the dream", "updates", done) as bar:
        logged = time.monotonic()
        for update in range(done, config.updates):
            generator = _generator(seed, update, device=device)
            if update == 0:
                learner.set_scale(*_survey(dreams, learner, config, generator), config.discount)
            factor = learner.narrow(config.last_spread, update / config.updates)
            now = config.at(update)
            optimizer.param_groups[0]["lr"] = now.learning_rate * factor
            returns, values = improve(dreams, learner, optimizer, now, generator, update)

            step = update + 1
            passed.append(learner.params.detach().double().cpu().numpy())
            recent.extend(returns)
            if recent:
                values["mean"] = float(np.mean(recent))
            bar.advance(1, **{name: value for name, value in values.items() if name == "mean"})
            saved = step % config.checkpoint_every == 0 or step == config.updates
            if saved or step % config.log_every == 0:
                clock = time.monotonic()
                spent = {"updates_per_second": bar.rate, "seconds": clock - logged}
                log.append(step=step, **values, dream_steps=step * steps_each, **spent)
                logged = clock
            if saved:
                _save(folder, step, learner, optimizer, dreams, recent, passed, settings)
    return np.mean(passed, 0) if passed else learner.params.detach().double().cpu().numpy()


def learned(
    config: GradientConfig, arena: Arena, folder: str | Path, seed: int, start: np.ndarray | None = None
) -> np.ndarray:
    """`learn` in the dreams of an arena, under its guards, on as many threads as a training has."""
    pin_threads()
    engines = (open_dream(arena),) if arena.guards is None else open_guarded(arena)
    return learn(config, engines, folder, seed, start)


@torch.no_grad()
def _survey(
    dreams: AllDreams, learner: Learner, config: GradientConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean squares of the features [F] and of the rewards [], over steps that nothing is learned from."""
    squares, paid = torch.zeros_like(learner.scale), torch.zeros_like(learner.reward_scale)
    for _ in range(SURVEY):
        features = dreams.see()
        choice = learner.policy.draw(learner.outputs(features), learner.log_spread, generator)
        reward, ended, cut = dreams.step(learner.policy.felt(choice), generator)
        squares += features.square().mean(0) / SURVEY
        paid += reward.square().mean() / SURVEY
        dreams.renew(ended | cut, generator)
    return squares, paid


def _optimizer(learner: Learner, config: GradientConfig) -> torch.optim.Adam:
    critic = [*learner.critic_in.parameters(), *learner.critic_out.parameters()]
    groups = [
        {"params": [learner.scaled, learner.log_spread], "lr": config.learning_rate},
        {"params": critic, "lr": config.critic_learning_rate},
    ]
    return torch.optim.Adam(groups, fused=True)


def _generator(seed: int, *path: str | int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(torch_seed(seed, "gradient", *path))


def _settings(config: GradientConfig, seed: int) -> dict[str, Any]:
    """What decides the course of a training, as JSON; `updates` only decides where it stops, but for what fades."""
    settings = asdict(config)
    for name in ("updates", "log_every", "checkpoint_every"):
        if name != "updates" or (config.last_spread is None and not config.fade):
            del settings[name]
    return settings | {"seed": seed}


def _save(
    folder: Path,
    step: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    dreams: AllDreams,
    recent: deque[float],
    passed: deque[np.ndarray],
    settings: dict[str, Any],
) -> None:
    carried = {f"dreams.{name}": array for name, array in dreams.to_arrays().items()}
    carried["recent"] = np.array(recent, np.float64)
    if passed.maxlen != 1:  # the last of them is the learner's own
        carried["passed"] = np.array(passed)
    save_checkpoint(folder, Checkpoint(step, pack(learner, optimizer) | carried, settings))


def _resume(
    folder: Path,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    dreams: AllDreams,
    recent: deque[float],
    passed: deque[np.ndarray],
    settings: dict[str, Any],
) -> int:
    """Load the last checkpoint, where there is one; returns how many updates it has done."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0
    found = CAME_LATER | dict(checkpoint.state)
    require_same(folder, "a training of C", found, settings)
    unpack(checkpoint.arrays, learner, optimizer, source=folder)
    prefix = "dreams."
    arrays = {name: array for name, array in checkpoint.arrays.items() if name.startswith(prefix)}
    dreams.from_arrays({name.removeprefix(prefix): array for name, array in arrays.items()})
    recent.extend(checkpoint.arrays.get("recent", np.zeros(0)).tolist())
    passed.extend(checkpoint.arrays.get("passed", learner.params.detach().double().cpu().numpy()[None]))
    return checkpoint.step
