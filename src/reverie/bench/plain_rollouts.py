"""One agent in one world or one dream, plainly: a batch of one at every step."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reverie.bench.models import PlainController, PlainMemory, PlainVision, empty_state, features_of
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.memory.config import MemoryConfig
from reverie.worlds.doom import LEFT, RIGHT, STAY
from reverie.worlds.doom import guard as doom_guard
from reverie.worlds.spec import FRAME_SIZE, WorldSpec


class PlainWorld(Protocol):
    """One environment; frames uint8 [64, 64, 3]."""

    def reset(self, seed: int) -> np.ndarray: ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]: ...

    def close(self) -> None: ...


class PlainCar:
    """Gymnasium's CarRacing-v3."""

    def __init__(self) -> None:
        with warnings.catch_warnings():  # Box2D's own deprecations
            warnings.simplefilter("ignore")
            from gymnasium.envs.box2d import CarRacing
        self.env: Any = CarRacing()

    def reset(self, seed: int) -> np.ndarray:
        return _resized(self.env.reset(seed=seed)[0][:84])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        encoded = np.array([action[0], (action[1] + 1) / 2, np.clip(action[2], 0, 1)])
        screen, reward, terminated, truncated, _ = self.env.step(encoded)
        return _resized(screen[:84]), float(reward), terminated or truncated

    def close(self) -> None:
        self.env.close()


class PlainDoom:
    """ViZDoom's Take Cover at the paper's 640x480."""

    def __init__(self) -> None:
        import vizdoom

        self.game = vizdoom.DoomGame()
        self.game.load_config(f"{vizdoom.scenarios_path}/take_cover.cfg")
        self.game.set_screen_resolution(vizdoom.ScreenResolution.RES_640X480)
        self.game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        self.game.set_window_visible(False)
        doom_guard.start(self.game)

    def reset(self, seed: int) -> np.ndarray:
        self.game.set_seed(seed)
        self.game.new_episode()
        return self._frame()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        self.game.make_action(LEFT if action[0] < -1 / 3 else RIGHT if action[0] > 1 / 3 else STAY)
        over = self.game.is_episode_finished()
        return np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8) if over else self._frame(), 1.0, over

    def close(self) -> None:
        doom_guard.stop(self.game)

    def _frame(self) -> np.ndarray:
        return _resized(self.game.get_state().screen_buffer[:400])


WORLDS: dict[str, type[PlainWorld]] = {"doom": PlainDoom, "carracing": PlainCar}


@dataclass(frozen=True)
class PlainTask:
    """An agent of these sizes for `steps` steps of the world; `folder`: where episodes are written."""

    spec: WorldSpec
    memory: MemoryConfig
    controller: ControllerConfig
    steps: int
    temperature: float = 1.0
    folder: Path | None = None


def dream_rate(task: PlainTask) -> float:
    """Steps a second of one dream."""
    memory, controller = PlainMemory(task.memory), _controller(task)
    begun = time.perf_counter()
    with torch.no_grad():
        _dream(task, memory, controller)
    return task.steps / (time.perf_counter() - begun)


def _dream(task: PlainTask, memory: PlainMemory, controller: PlainController) -> None:
    z, state, restart = torch.zeros(1, task.memory.latent_size), empty_state(task.memory.hidden_size), 1.0
    for _ in range(task.steps):
        action = controller.act(features_of(task.controller.inputs, z, state))
        outputs, state = memory(_inputs(task, z, action, restart), state)
        z = memory.sample(outputs[:, 0], task.temperature)
        over = task.memory.done_head and torch.sigmoid(outputs[0, 0, task.memory.mixture_size]).item() > 0.5
        restart = float(over)
        if over:
            z, state = torch.zeros_like(z), empty_state(task.memory.hidden_size)


def world_rate(task: PlainTask) -> float:
    """Steps a second of one agent in one world, its start not counted."""
    torch.manual_seed(0)
    vision, memory, controller = PlainVision(task.memory.latent_size), PlainMemory(task.memory), _controller(task)
    world = WORLDS[task.spec.name]()
    try:
        frame = world.reset(seed=0)
        begun = time.perf_counter()
        with torch.no_grad():
            _play(task, world, frame, vision, memory, controller)
        return task.steps / (time.perf_counter() - begun)
    finally:
        world.close()


def _play(
    task: PlainTask,
    world: PlainWorld,
    frame: np.ndarray,
    vision: PlainVision,
    memory: PlainMemory,
    controller: PlainController,
) -> None:
    state, restart = empty_state(task.memory.hidden_size), 1.0
    for step in range(task.steps):
        x = torch.from_numpy(frame / 255).float().permute(2, 0, 1)[None]
        mu, logvar = vision.encode(x)
        z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
        action = controller.act(features_of(task.controller.inputs, z, state))
        _, state = memory(_inputs(task, z, action, restart), state)
        frame, _, over = world.step(action)
        restart = float(over)
        if over:
            frame, state = world.reset(seed=step), empty_state(task.memory.hidden_size)


def collect_rate(task: PlainTask) -> float:
    """Frames a second to disk: random actions held for 1 to 10 steps, one compressed .npz an episode."""
    assert task.folder is not None
    rng, world = np.random.default_rng(0), WORLDS[task.spec.name]()
    try:
        frames = [world.reset(seed=0)]
        begun, episodes, left = time.perf_counter(), 0, 0
        for step in range(task.steps):
            if left == 0:
                action, left = rng.uniform(-1, 1, task.spec.actions.size), int(rng.integers(1, 11))
            left -= 1
            frame, _, over = world.step(action)
            frames.append(frame)
            if over or step == task.steps - 1:
                np.savez_compressed(task.folder / f"{episodes}.npz", frames=np.stack(frames))
                episodes, frames = episodes + 1, [world.reset(seed=step)]
        return (task.steps + episodes) / (time.perf_counter() - begun)
    finally:
        world.close()


def _controller(task: PlainTask) -> PlainController:
    features = task.controller.feature_size(task.memory.latent_size, task.memory.hidden_size)
    count = Controller(task.controller, features, task.spec.actions).parameter_count
    params = np.random.default_rng(0).standard_normal(count) * 0.1
    return PlainController(params, features, task.spec.actions.size, task.controller.bias)


def _inputs(task: PlainTask, z: Tensor, action: np.ndarray, restart: float) -> Tensor:
    """[z, a] or [z, a, restart] as one step of one agent, [1, 1, I]."""
    encoded = torch.from_numpy(task.spec.actions.for_memory(action)).float()[None]
    parts = [z, encoded, torch.tensor([[restart]])] if task.memory.restart_input else [z, encoded]
    return torch.cat(parts, 1)[:, None]


def _resized(screen: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(screen).resize((FRAME_SIZE, FRAME_SIZE)))
