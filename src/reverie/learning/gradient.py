"""C by gradients, in the dream or in the world: the loop is `learn`, read top to bottom; what it calls stands below."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.errors import DamagedFileError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import pack, require_same, unpack
from reverie.hardware import keep_freed_memory
from reverie.learning import backprop, ppo
from reverie.learning.config import CRITIC_LEARNING_RATE, PPOConfig
from reverie.learning.dream_rollouts import DreamRollouts
from reverie.learning.learner import Learner
from reverie.learning.phases import Method
from reverie.learning.world_rollouts import WorldRollouts
from reverie.play.env_spec import EnvSpec
from reverie.progress import progress
from reverie.workers.pool import Workers
from reverie.workers.seeds import torch_seed

LOG_EVERY = 5  # updates
RECENT = 1024  # episodes that the mean return shown is taken over
LEAST = float(np.finfo(np.float64).min)  # finite, as all that a checkpoint holds


def learn(
    method: Method,
    config: PPOConfig,
    updates: int,
    env: EnvSpec,
    folder: str | Path,
    seed: int,
    workers: Workers,
    start: np.ndarray | None = None,
    earlier: str | Path | None = None,
) -> np.ndarray:
    """Train C, with checkpoints and metrics.jsonl in `folder`; goes on from the last checkpoint there.

    An update is a pure function of the learner, the rollouts' state, `seed` and its number, so a run that was killed
    ends with the same bits as one that was not, and with any number of workers.
    start: the parameters [n] to begin at, None for zeros
    earlier: the folder of an earlier phase; in the world its critic, scales and std are gone on from
    Returns C's parameters, float64 [n]. Raises ReverieError where the loss is not finite, or `folder` holds a training
    with other settings.
    """
    keep_freed_memory()
    folder = Path(folder)
    rollouts = _rollouts(config, env, seed, workers)
    learner, optimizer = _learner(config, env, seed, start, rollouts)
    if rollouts.takes_over_critic and earlier is not None:
        _take_over(Path(earlier), learner, start)
    settings = _settings(method, config, updates, seed)
    average = Average(min(config.average_last, updates), len(learner.params), rollouts.keeps_best)
    recent = deque[float](maxlen=RECENT)
    done = _resume(folder, learner, optimizer, rollouts, average, recent, settings)
    log = MetricsLog(folder / "metrics.jsonl", resume_step=done)
    checkpoint_every = max(1, min(rollouts.checkpoint_every, updates // 10))
    title = f"C: {method} in the {env.place}"
    with log, progress(updates, title, "updates", done) as bar:
        logged = time.monotonic()
        for update in range(done, updates):
            generator = _generator(seed, update, device=learner.scaled.device)
            now = config.at(update, updates)
            optimizer.param_groups[0]["lr"] = now.learning_rate * learner.narrow(config.final_std, update / updates)
            played = learner.params.detach().double().cpu().numpy()
            values, returns = _update(method, rollouts, learner, optimizer, now, generator, update)
            if rollouts.keeps_best:
                average.add(played, float(np.mean(returns)))
            else:
                average.add(learner.params.detach().double().cpu().numpy(), 0.0)

            step = update + 1
            recent.extend(returns)
            if recent:
                values["episode_return_mean"] = float(np.mean(returns if rollouts.keeps_best else recent))
            shown = {"return": values["episode_return_mean"]} if recent else {}
            bar.advance(1, **shown)
            saved = step % checkpoint_every == 0 or step == updates
            if saved or step % LOG_EVERY == 0:
                clock = time.monotonic()
                values |= {f"{env.place}_steps": rollouts.steps, "seconds": clock - logged}
                log.append(step=step, **values)
                logged = clock
            if saved:
                _save(folder, step, learner, optimizer, rollouts, average, recent, settings)
    rollouts.close()
    return average.result


class Average:
    """The mean of `size` parameter vectors in a row: of the last ones, or of those whose returns were the highest."""

    def __init__(self, size: int, parameters: int, keeps_best: bool) -> None:
        self.size, self.keeps_best = size, keeps_best
        self.params, self.returns = np.zeros((0, parameters)), np.zeros(0)  # of the last `size` at most
        self.best, self.best_return = np.zeros(parameters), np.array(LEAST)

    def add(self, params: np.ndarray, mean: float) -> None:
        """Parameters [n], and what their episodes brought on average."""
        self.params = np.concatenate([self.params, params[None]])[-self.size :]
        self.returns = np.append(self.returns, mean)[-self.size :]
        if self.keeps_best and len(self.returns) == self.size and self.returns.mean() > self.best_return:
            self.best, self.best_return = self.params.mean(0), np.array(self.returns.mean())

    @property
    def result(self) -> np.ndarray:
        """The mean, float64 [n]."""
        mean: np.ndarray = self.best if self.keeps_best else self.params.mean(0)
        return mean

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The state, by name."""
        names = ("params", "returns", "best", "best_return")
        return {f"average.{name}": getattr(self, name) for name in names}

    def from_arrays(self, arrays: Mapping[str, np.ndarray], source: object) -> None:
        """Raises DamagedFileError, naming `source`, where one is missing or of another shape; nothing changes then."""
        count = min(self.size, len(arrays.get("average.returns", ())))
        shapes = {"params": (count, len(self.best)), "returns": (count,), "best": self.best.shape, "best_return": ()}
        for name, shape in shapes.items():
            array = arrays.get(f"average.{name}")
            if array is None or array.shape != shape:
                what = "no" if array is None else f"{array.shape} as"
                raise DamagedFileError(
                    f"{source} holds {what} average.{name}, expected {shape}; use another run folder"
                )
        for name in shapes:
            setattr(self, name, arrays[f"average.{name}"])


def _rollouts(config: PPOConfig, env: EnvSpec, seed: int, workers: Workers) -> DreamRollouts | WorldRollouts:
    engines, horizon = env.engines(), env.episode_limits.max_steps
    if not engines:
        return WorldRollouts(env, seed, workers)
    assert horizon is not None
    return DreamRollouts(engines, config, horizon, _generator(seed, "begin", device=engines[0].memory.device))


def _learner(
    config: PPOConfig, env: EnvSpec, seed: int, start: np.ndarray | None, rollouts: DreamRollouts | WorldRollouts
) -> tuple[Learner, torch.optim.Adam]:
    learner = Learner(env.controller_shape(), start, torch_seed(seed, "gradient", "weights")).to(rollouts.device)
    critic = [*learner.critic_in.parameters(), *learner.critic_out.parameters()]
    groups = [
        {"params": [learner.scaled, learner.log_std], "lr": config.learning_rate},
        {"params": critic, "lr": CRITIC_LEARNING_RATE},
    ]
    return learner, torch.optim.Adam(groups, fused=True)


def _update(
    method: Method,
    rollouts: Any,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    config: PPOConfig,
    generator: torch.Generator,
    update: int,
) -> tuple[dict[str, float], list[float]]:
    """One update of C; its metrics, and the returns of the episodes that ended in it."""
    if method == "backprop":
        return backprop.update(rollouts, learner, optimizer, config, generator, update)
    experience, metrics, returns = rollouts.collect(learner, config, generator, update)
    return metrics | ppo.update(learner, optimizer, experience, config, generator, update), returns


def _take_over(folder: Path, learner: Learner, start: np.ndarray | None) -> None:
    """Go on from critic, scales and std as an earlier phase left them, where it did, and from C at `start`.

    That phase's own last C is another where it made a mean of its last ones.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None or "model.scaled" not in checkpoint.arrays:
        return
    unpack(checkpoint.arrays, learner, source=folder)
    if start is not None:
        learner.set_params(start)


def _generator(seed: int, *path: str | int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(torch_seed(seed, "gradient", *path))


def _settings(method: Method, config: PPOConfig, updates: int, seed: int) -> dict[str, Any]:
    """What decides the course of a training, as JSON."""
    return asdict(config) | {"method": method, "updates": updates, "seed": seed}


def _save(
    folder: Path,
    step: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    rollouts: DreamRollouts | WorldRollouts,
    average: Average,
    recent: deque[float],
    settings: dict[str, Any],
) -> None:
    arrays = pack(learner, optimizer) | average.to_arrays()
    arrays |= {f"rollouts.{name}": array for name, array in rollouts.to_arrays().items()}
    arrays["recent"] = np.array(recent, np.float64)
    save_checkpoint(folder, Checkpoint(step, arrays, settings | {"steps": rollouts.steps}))


def _resume(
    folder: Path,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    rollouts: DreamRollouts | WorldRollouts,
    average: Average,
    recent: deque[float],
    settings: dict[str, Any],
) -> int:
    """Load the last checkpoint, where there is one; returns how many updates it has done."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return 0
    require_same(folder, "a training of C", checkpoint.state, settings)
    unpack(checkpoint.arrays, learner, optimizer, source=folder)
    average.from_arrays(checkpoint.arrays, folder)
    prefix = "rollouts."
    arrays = {name: array for name, array in checkpoint.arrays.items() if name.startswith(prefix)}
    rollouts.from_arrays({name.removeprefix(prefix): array for name, array in arrays.items()})
    rollouts.steps = int(checkpoint.state["steps"])
    recent.extend(checkpoint.arrays.get("recent", np.zeros(0)).tolist())
    return checkpoint.step
