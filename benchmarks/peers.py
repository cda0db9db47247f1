"""What Stable-Baselines3 gets from the same pixels: PPO, and DQN or SAC, beside the runs of `reverie suite`.

python benchmarks/peers.py runs/suite                              each run's real steps again
python benchmarks/peers.py runs/suite CartPole-v1 --same-time      and again its time, on as many cores

CnnPolicy on four stacked frames of 64x64, from the door that Reverie's own frames come through, and scored on the
seeds of the run that it stands beside. Settings are Stable-Baselines3's own but for those in `SETTINGS`. Results are
lines of DIR/peers.jsonl, which `reverie suite` puts into its table. Run again to resume: what has its line is not made
again, a training that was broken off begins anew.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from reverie.hardware import core_count
from reverie.studies.suite_lines import Budget, PeerRun, SuiteRun, keep_peer, read_peers, read_runs
from reverie.workers.seeds import EVALUATION_SEED_BASE
from reverie.worlds.registry import make, most_slots, repeat_of, world_spec
from reverie.worlds.spec import FRAME_SHAPE, ActionSpec

if TYPE_CHECKING:
    import torch

    from reverie.agent import FrameWorld
    from reverie.evaluation.score import Score

STACKED = 4
ENVS = {"PPO": 8, "DQN": 1, "SAC": 1}
ROLLOUT = 128  # PPO's steps of each environment between updates, about
PRELOADED = ["stable_baselines3", "reverie.studies.suite_lines"]  # once, for all environments' processes
LARGEST_BUFFER = 40_000  # transitions of 98 kB each
SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {},
    "DQN": {"target_update_interval": 1000},  # of 10,000: as often as the RL Zoo does on Atari
    "SAC": {},
}


@dataclass(frozen=True)
class Acting:
    """The actions of a world as Stable-Baselines3 has them, and from there to the world's own vectors."""

    space: gym.Space[Any]
    to_world: Callable[[np.ndarray], np.ndarray]


def acting_in(actions: ActionSpec) -> Acting:
    """Choices of one out of several as numbers, all else as a Box."""
    if actions.kind == "discrete":
        return Acting(gym.spaces.Discrete(actions.size), lambda chosen: np.eye(actions.size, dtype=np.float32)[chosen])
    if actions.kind == "three-way":
        return Acting(gym.spaces.Discrete(3), lambda chosen: (chosen[:, None] - 1).astype(np.float32))
    return Acting(gym.spaces.Box(-1, 1, (actions.size,), np.float32), lambda given: given.astype(np.float32))


class PixelWorld(gym.Env[np.ndarray, Any]):
    """One world of Reverie's as a Gymnasium environment of uint8 [64, 64, 3], on training seeds alone."""

    def __init__(self, world: str, seed: int) -> None:
        self.world, self.acting = make(world), acting_in(world_spec(world).actions)
        self.observation_space = gym.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self.action_space = self.acting.space
        self._seeds = np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        frames, _ = self.world.reset(seed=int(self._seeds.integers(EVALUATION_SEED_BASE)))
        return frames[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        frames, rewards, terminated, truncated, _ = self.world.step(self.acting.to_world(np.asarray(action)[None]))
        return frames[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def close(self) -> None:
        self.world.close()


class Stacked:
    """Plays as a trained model says: its best action on the last four frames of each episode."""

    def __init__(self, model: Any, env: FrameWorld) -> None:
        self._model, self._to_world = model, acting_in(env.spec.actions).to_world
        self._stacks: dict[int, np.ndarray] = {}

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        height, width, channels = FRAME_SHAPE
        for episode in episodes:
            self._stacks[episode] = np.zeros((height, width, STACKED * channels), np.uint8)

    def act(self, frames: np.ndarray, episodes: torch.Tensor) -> torch.Tensor:
        import torch

        for episode, frame in zip(episodes.tolist(), frames, strict=True):
            self._stacks[episode] = np.concatenate([self._stacks[episode][..., frame.shape[-1] :], frame], -1)
        stacks = np.stack([self._stacks[episode] for episode in episodes.tolist()])
        chosen, _ = self._model.predict(stacks, deterministic=True)
        return torch.from_numpy(self._to_world(chosen))

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        pass

    def end(self, episode: int, terminated: bool) -> None:
        del self._stacks[episode]


def open_envs(world: str, count: int, seed: int) -> Any:
    """The VecEnv that a model learns in: each environment in a process of its own where there are several."""
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    def maker(slot: int) -> Callable[[], gym.Env]:
        return lambda: Monitor(PixelWorld(world, int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])))

    makers = [maker(slot) for slot in range(count)]
    multiprocessing.set_forkserver_preload(PRELOADED)
    return VecFrameStack(DummyVecEnv(makers) if count == 1 else SubprocVecEnv(makers), STACKED)


def make_model(peer: str, envs: Any, steps: int, seed: int) -> Any:
    """A model that divides `steps` into whole rollouts (PPO), or keeps as many as memory holds (DQN, SAC)."""
    import stable_baselines3

    if peer == "PPO":
        rollouts = max(1, round(steps / (ENVS[peer] * ROLLOUT)))
        budget = {"n_steps": max(2, steps // (rollouts * ENVS[peer]))}
    else:
        budget = {"buffer_size": min(steps, LARGEST_BUFFER)}
    return getattr(stable_baselines3, peer)("CnnPolicy", envs, seed=seed, **budget, **SETTINGS[peer])


def learn(model: Any, steps: int, seconds: float | None) -> float:
    """Let it learn for `steps`, or until `seconds` are over, with schedules over `steps`; returns the seconds taken."""
    from stable_baselines3.common.callbacks import BaseCallback

    class TimeIsUp(BaseCallback):
        def _on_step(self) -> bool:
            return seconds is None or time.monotonic() - begun < seconds

    rollout = model.n_steps * model.n_envs
    whole = max(rollout, steps // rollout * rollout)  # it would begin one more for what is left
    begun = time.monotonic()
    model.learn(whole, callback=TimeIsUp())
    while seconds is not None and time.monotonic() - begun < seconds:
        model.learn(whole, callback=TimeIsUp(), reset_num_timesteps=False)
    return time.monotonic() - begun


def score(model: Any, run: SuiteRun) -> Score:
    """The model's score over the episodes that the run's agent was scored on."""
    from reverie.agent import FrameWorld
    from reverie.evaluation.score import Score, world_seeds
    from reverie.evaluation.shards import SHARD, close_worlds, open_world
    from reverie.play.loop import Limits, play

    env = FrameWorld(open_world(run.world, most_slots(run.world, SHARD)))
    actor = Stacked(model, env)
    seeds = world_seeds(run.score.seed, run.score.episodes)
    returns = play(env, actor, seeds, Limits(env.spec.max_steps), watch=actor).returns
    close_worlds()
    return Score.of(returns.tolist(), run.world, run.score.seed)


def train(run: SuiteRun, peer: str, budget: Budget, rate: float | None) -> PeerRun:
    """Train and score a peer on the run's budget; rate: its steps a second so far, for a budget of time."""
    import stable_baselines3

    allowed = {"steps": run.real_steps, "time": run.learning_seconds}[budget]
    seconds = None if rate is None else allowed
    steps = max(1, int(allowed if rate is None else allowed * rate))
    if rate is None:
        steps = max(1, steps // repeat_of(run.world))
    envs = open_envs(run.world, ENVS[peer], run.seed)
    try:
        model = make_model(peer, envs, steps, run.seed)
        taken = learn(model, steps, seconds)
    finally:
        envs.close()
    return PeerRun(
        world=run.world,
        preset=run.preset,
        seed=run.seed,
        peer=peer,
        budget=budget,
        allowed=allowed,
        steps=model.num_timesteps,
        seconds=round(taken, 1),
        cores=core_count(),
        version=f"stable-baselines3 {stable_baselines3.__version__}",
        score=score(model, run),
    )


def peers_of(run: SuiteRun) -> tuple[str, str]:
    """PPO, and what learns from a buffer with actions of this kind."""
    is_choice = isinstance(acting_in(world_spec(run.world).actions).space, gym.spaces.Discrete)
    return "PPO", "DQN" if is_choice else "SAC"


def trained_beside(folder: Path, run: SuiteRun, same_time: bool) -> Iterator[PeerRun]:
    """Each peer on each budget: from its line where there is one, else trained now."""
    for peer in peers_of(run):
        rate = None
        budgets: list[Budget] = ["steps", "time"] if same_time else ["steps"]
        for budget in budgets:
            lines = (one for one in read_peers(folder) if (one.peer, one.budget) == (peer, budget))
            line = next((one for one in lines if one.is_beside(run)), None)
            if line is None:
                line = train(run, peer, budget, rate)
                keep_peer(folder, line)
            rate = line.steps / max(line.seconds, 0.1)
            yield line


def main() -> None:
    """Go through the runs that stand in the folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("folder", type=Path, help="where `reverie suite` keeps its runs")
    parser.add_argument("worlds", nargs="*", help="those to go through; all of the folder's by default")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", type=int, help="only runs of the first so many seeds")
    parser.add_argument("--same-time", action="store_true", help="then train each again for the run's time")
    words = parser.parse_intermixed_args()
    import torch

    torch.set_num_threads(core_count())
    runs = [run for run in read_runs(words.folder) if run.preset == words.preset]
    missing = set(words.worlds) - {run.world for run in runs}
    if missing:
        parser.error(
            f"no run of {', '.join(sorted(missing))} at {words.preset} in {words.folder}; reverie suite makes one"
        )
    for run in runs:
        if (not words.worlds or run.world in words.worlds) and (words.seeds is None or run.seed < words.seeds):
            if words.same_time and run.cores != core_count():
                parser.error(f"{run.run_dir} had {run.cores} cores, and here are {core_count()}; give it as many")
            for line in trained_beside(words.folder, run, words.same_time):
                print(
                    f"{line.world}, seed {line.seed}: {line.peer}, same {line.budget}: {line.score.mean:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
