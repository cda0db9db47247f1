"""C by PPO in the real world, from where the dream left it: the loop is `finetune`, read top to bottom."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.errors import ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import pack, require_same, unpack
from reverie.hardware import pin_threads
from reverie.learning.arena import Arena, close_arenas
from reverie.learning.config import FinetuneConfig, GradientConfig
from reverie.learning.episodes import Episodes, Task, experience_of, joined, play_episodes
from reverie.learning.kept import Kept
from reverie.learning.learner import Learner
from reverie.learning.ppo import explained, improve
from reverie.learning.travel import travelling
from reverie.progress import progress
from reverie.workers.pool import Workers
from reverie.workers.seeds import torch_seed, training_seeds


def finetune(
    config: FinetuneConfig,
    gradient: GradientConfig,
    arena: Arena,
    folder: str | Path,
    seed: int,
    workers: Workers,
    start: np.ndarray | None = None,
    learned: str | Path | None = None,
) -> np.ndarray:
    """Train C in the world, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    Every update plays episodes of its own seeds from their first to their last step, and is a pure function of the
    learner, `seed` and its number: killed and resumed, and with any number of workers, it ends with the same bits.
    start: the parameters [n] to begin at, None for zeros
    learned: the folder of what C learned by gradients in the dream; its critic, scales and spread are gone on from
    Returns the parameters, float64 [n], of the mean C of the `config.keep` updates in a row whose episodes, on training
    seeds and with noise, brought most. Raises ReverieError where the loss is not finite, or `folder` holds a training
    with other settings.
    """
    pin_threads()
    folder, arena = Path(folder), replace(arena, patience=config.patience)
    gradient = replace(gradient, epochs=config.epochs, batches=config.batches, trace=config.trace)
    learner = Learner(arena.controller_shape(), gradient, start, torch_seed(seed, "finetune", "weights"))
    warm = learned is not None and _take_over(Path(learned), learner, start)
    optimizer = torch.optim.Adam(learner.parameters(), lr=config.learning_rate, fused=True)
    settings = asdict(config) | {"discount": gradient.discount, "seed": seed}
    kept = Kept(min(config.keep, config.updates), len(learner.params))
    done, steps = _resume(folder, learner, optimizer, kept, settings)
    log = MetricsLog(folder / "metrics.jsonl", resume_step=done)
    survival = arena.spec.reward == "survival"
    with log, progress(config.updates, "C: fine-tuning in the world", "updates", done) as bar:
        for update in range(done, config.updates):
            started = time.monotonic()
            learner.narrow(config.last_spread, min(1.0, 2 * update / config.updates))
            played = learner.params.detach().double().numpy()
            episodes = _play(config, arena, learner, seed, update, workers)
            if update == 0 and not warm:
                learner.set_scale(*_sizes(episodes, survival), gradient.discount)
            experience = experience_of(episodes, learner, gradient, survival, config.endless)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - update / config.updates)
            generator = torch.Generator().manual_seed(torch_seed(seed, "finetune", update))
            entropy, _ = improve(learner, optimizer, experience, gradient, generator, update)

            returns, steps = episodes.reward.sum(0, dtype=np.float64), steps + int(episodes.length.sum())
            kept.add(played, float(returns.mean()))
            values = {"mean": returns.mean(), "min": returns.min(), "length": episodes.length.mean()}
            values |= {"entropy": entropy, "explained": explained(experience)}
            bar.advance(1, mean=float(values["mean"]))
            log.append(step=update + 1, **values, world_steps=steps, seconds=time.monotonic() - started)
            record = {**settings, "steps": steps}
            save_checkpoint(folder, Checkpoint(update + 1, pack(learner, optimizer) | kept.to_arrays(), record))
    if workers.count == 0:
        close_arenas()  # worker processes end with the pool
    return kept.best


def _play(config: FinetuneConfig, arena: Arena, learner: Learner, seed: int, update: int, workers: Workers) -> Episodes:
    """The episodes of an update, in tasks of `arena.slots`, whatever the number of workers."""
    if workers.scratch is not None:
        arena = travelling(arena, workers.scratch)
    seeds = training_seeds(seed, "finetune", update, count=config.episodes)
    params, log_spread = learner.params.detach().numpy(), learner.log_spread.detach().numpy()
    tasks = [
        Task(arena, params, log_spread, tuple(seeds[at : at + arena.slots]), torch_seed(seed, "tries", update, at))
        for at in range(0, len(seeds), arena.slots)
    ]
    episodes = joined(workers.map(play_episodes, tasks, files=arena.places))
    if not episodes.length.any():
        raise ReverieError(f"every environment of {arena.spec.name} died in update {update + 1}; try it by itself")
    return episodes


def _take_over(folder: Path, learner: Learner, start: np.ndarray | None) -> bool:
    """Go on from critic, scales and spread as the dream left them, where it did, and from C at `start`.

    The dream's own last C is another where it made a mean of its last ones.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return False
    unpack(checkpoint.arrays, learner, source=folder)
    if start is not None:
        learner.put(start)
    return True


def _sizes(episodes: Episodes, survival: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean squares of the features [F] and of the rewards [] of all steps."""
    played = np.arange(len(episodes.choice))[:, None] < episodes.length
    paid = episodes.terminated.sum() / played.sum() if survival else np.square(episodes.reward[played]).mean()
    return torch.from_numpy(np.square(episodes.features[:-1][played]).mean(0)), torch.tensor(float(paid))


def _resume(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, kept: Kept, settings: dict[str, Any]
) -> tuple[int, int]:
    """Load the last checkpoint, where there is one; returns how many updates and real steps it has done."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0, 0
    require_same(folder, "a fine-tuning of C", checkpoint.state, settings)
    unpack(checkpoint.arrays, learner, optimizer, source=folder)
    kept.from_arrays(checkpoint.arrays, folder)
    return checkpoint.step, int(checkpoint.state["steps"])
