"""The dream: M as a `FeatureEnv`. `Dream.step` is the one place where M makes a dreamt step.

(The one other is `learning/backprop.py`, where gradients have to pass through the step: what a kernel writes in place
has none. It shares `step_reward` and `ending_chance` with this one, and a test holds the two together.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.controller.senses import expectation_of
from reverie.dream.config import DreamConfig
from reverie.dream.followers import Disagreement, Follower
from reverie.dream.kernel import load_kernel
from reverie.dream.noise import Noise, SeededNoise
from reverie.dream.novelty import Novelty
from reverie.dream.replay import ReplayStarts
from reverie.dream.rows import DreamRows, Heads, PackedMemory, reorder
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.feature_env import Observation, Place, Step
from reverie.hardware import compute_dtype
from reverie.memory.config import DONE_WEIGHT
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec, WorldSpec


class DreamEngine:
    """What is dreamt: M and where dreams begin, packed to dream many episodes where M's weights are."""

    def __init__(
        self,
        memory: MDNRNN,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig,
        inputs: ControllerConfig,
        dtype: torch.dtype | None = None,
        compiled: bool = True,
        seen: MDNRNN | None = None,
        dropout: float = 0.0,
        penalty: float = 0.0,
        others: Sequence[MDNRNN] = (),
        novelty: Novelty | None = None,
    ) -> None:
        """inputs: what C sees. dtype: of M's weights, None for the fastest here. compiled: use C where it can be built.

        seen: another M that follows what `memory` dreams, and whose state C sees in place of that one's
        dropout: the share of hidden units that M's heads do not see, in a dream from its first step to its last
        penalty, others: the weight of the disagreement between M and the others, which follow the dream
        novelty: what a C that learns here is paid for where it comes to, besides its rewards
        """
        check_dream(memory, starts, spec)
        device = memory.bias.device.type
        self.memory = PackedMemory(memory, dtype or compute_dtype(device))
        self.seen = None if seen is None else PackedMemory(seen, self.memory.dtype)
        self.others = tuple(PackedMemory(other, self.memory.dtype) for other in others)
        self.dropout, self.penalty, self.novelty = dropout, penalty, novelty
        self.inputs, self.starts, self.spec, self.config = inputs, starts, spec, config
        self.expectation = expectation_of(inputs, seen or memory, spec.actions, self.memory.dtype)
        self.feature_size = inputs.feature_size(*(seen or memory).config.feature_sizes)
        self.kernel = load_kernel(self.memory.dtype) if compiled and device == "cpu" else None

    @property
    def max_steps(self) -> int:
        """Steps after which a dream is truncated, unless C learns in it with a horizon of its own."""
        return self.spec.steps_to_play(self.starts.longest)

    def __repr__(self) -> str:
        how = "compiled" if self.kernel else "eager"
        return f"DreamEngine({self.spec.name}, {self.memory.dtype}, {how}, temperature={self.config.temperature})"


def check_dream(memory: MDNRNN, starts: Starts, spec: WorldSpec) -> None:
    """Raise where M does not predict what a dream of this world needs, or the parts do not fit together."""
    config = memory.config
    if spec.reward == "survival" and not config.done_head:
        raise ReverieError(
            f"M has no done head, and the reward of {spec.name!r} is to survive; train M with done_head to dream it"
        )
    if spec.reward == "predicted" and not config.reward_head:
        raise ReverieError(f"M has no reward head, and {spec.name!r} has rewards; train M with reward_head to dream it")
    if starts.latent_size != config.latent_size:
        raise ReverieError(
            f"dream starts have {starts.latent_size} latent dimensions and M has {config.latent_size}; "
            "take both from the same run"
        )
    if spec.actions.size != config.action_size:
        raise ReverieError(
            f"{spec.name!r} has {spec.actions.size} action dimensions and M has {config.action_size}; "
            "take M from a run of this world"
        )


class Dream:
    """n dreams side by side. A dream is cut off by whoever plays it: the cap is not M's.

    `rows` dream. `followers` are the other Ms beside them: first the one whose state C sees, where it is another's.
    """

    place: Place = "dream"

    def __init__(
        self, engine: DreamEngine, num_envs: int, noise: Noise | None = None, share_noise: bool = False
    ) -> None:
        """noise: None draws each dream from its own seed.

        share_noise: rows that begin together with the same seed share its draws, as the candidates of a population do;
            such rows begin but once
        """
        self.engine, self.num_envs, self.spec = engine, num_envs, engine.spec
        self.temperature: float | None = engine.config.temperature
        self.device = engine.memory.device
        self.rows = DreamRows(engine.memory, num_envs, engine.config.temperature, engine.kernel)
        self._seen = None if engine.seen is None else Follower(engine.seen, self.rows)
        others = tuple(Follower(other, self.rows) for other in engine.others)
        self.disagreement = Disagreement(self.rows, others, engine.penalty) if others else None
        self.followers = others if self._seen is None else (self._seen, *others)
        self.memories: tuple[DreamRows | Follower, ...] = (self.rows, *self.followers)
        hidden = engine.starts.hidden if isinstance(engine.starts, ReplayStarts) else ()
        self._hidden = [(h.to(self.device), c.to(self.device)) for h, c in hidden]
        self._share_noise = share_noise
        self._stream = torch.arange(num_envs, device=self.device)
        if noise is not None or not share_noise:
            self._open(noise or SeededNoise(num_envs, engine.starts, self.device), num_envs)

    @property
    def dropout_size(self) -> int:
        """H where hidden units are dropped, else 0."""
        return self.engine.memory.config.hidden_size if self.engine.dropout else 0

    def begin(self, rows: Tensor, seeds: Sequence[int]) -> None:
        """Start the dreams of `seeds` in `rows` (int64 [k])."""
        rows = rows.to(self.device)
        streams, first, inverse = rows, seeds, torch.arange(len(rows), device=self.device)
        if self._share_noise:
            unique, places, index = np.unique(np.array(seeds), return_index=True, return_inverse=True)
            streams, first = torch.arange(len(unique), device=self.device), [seeds[int(place)] for place in places]
            inverse = torch.from_numpy(index).to(self.device)
            self._stream[rows] = inverse
            self._open(SeededNoise(len(unique), self.engine.starts, self.device), len(unique))
        drawn = self.noise.begin(streams, first, self.dropout_size)
        if drawn.dropout is not None:
            assert self.rows.dropout is not None
            kept = (drawn.dropout >= self.engine.dropout) / (1 - self.engine.dropout)
            self.rows.dropout[streams] = kept.to(self.rows.dropout.dtype)
        self.rows.begin(rows, drawn.z[inverse])
        for follower in self.followers:
            follower.begin(rows)
        start = drawn.start[inverse]
        for memory, (h, c) in zip(self.memories, self._hidden, strict=False):
            memory.begin_inside(rows, h[start], c[start])

    def observe(self) -> Observation:
        """What C sees in every row."""
        return Observation(self.rows.z, (self._seen or self.rows).state, self.engine.expectation)

    def step(self, actions: Tensor) -> Step:
        """One step of every row with C's actions float32 [n, A]; `ended` by M alone."""
        engine, n = self.engine, self.rows.count
        encoded = engine.spec.actions.for_memory(actions.to(self.device))
        for follower in self.followers:
            follower.absorb(encoded)
        component, spread, uniform = self.noise.next()
        stream = self._stream[:n]
        heads = self.rows.advance(encoded, component, spread, stream)
        chance = ending_chance(heads, engine.config, DONE_WEIGHT)
        return Step(
            reward=step_reward(heads, encoded, engine.spec),
            terminated=torch.zeros(n, dtype=torch.bool, device=self.device)
            if chance is None
            else chance > uniform[stream],
            ending=chance,
            penalty=self._penalty(),
        )

    def _penalty(self) -> Tensor | None:
        """What the step costs a C that learns: the Ms' disagreement, less what is new."""
        penalty = None if self.disagreement is None else self.disagreement.penalty()
        if self.engine.novelty is None:
            return penalty
        bonus = self.engine.novelty(self.rows.z)
        return -bonus if penalty is None else penalty - bonus

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (int64 [k]) alone, in this order."""
        rows = rows.to(self.device)
        reorder(rows, self._stream, *(matrix for follower in self.followers for matrix in follower.matrices))
        self.rows.keep(rows)

    def resume(self, z: Tensor, h: Tensor, c: Tensor, restart: Tensor) -> None:
        """Go on in every row from M's state h, c [n, H] before it absorbs z [n, Nz]; restart [n]: 1 at a first step."""
        self.rows.resume(z, h, c, restart[:, None][:, : self.rows.restart.shape[1]])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, but for the noise, by name."""
        state = {"z": self.rows.z}
        for number, memory in enumerate(self.memories):
            (h, c), restart = memory.state, memory.restart
            state |= {f"h{number}": h.float(), f"c{number}": c, f"restart{number}": restart.float()}
        if self.rows.dropout is not None:
            state["dropout"] = self.rows.dropout.float()
        return {name: tensor.cpu().numpy().copy() for name, tensor in state.items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        state = {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}
        self.rows.resume(state["z"], *(state[f"{name}0"] for name in ("h", "c", "restart")))
        for number, follower in enumerate(self.followers, start=1):
            follower.resume(*(state[f"{name}{number}"] for name in ("h", "c", "restart")))
        if self.rows.dropout is not None:
            self.rows.dropout.copy_(state["dropout"])

    def _open(self, noise: Noise, streams: int) -> None:
        self.noise = noise
        if self.dropout_size:
            self.rows.dropout = torch.ones(streams, self.dropout_size, device=self.device).to(self.rows.dtype)


def step_reward(heads: Heads, like: Tensor, spec: WorldSpec) -> Tensor:
    """The rewards of n dreams for a step, float32 [n]: the game's steps for surviving it, or what M predicts."""
    if spec.reward == "survival":
        return like.new_full((len(like),), spec.repeat, dtype=torch.float32)
    assert heads.reward is not None, "check_dream lets no such M through"
    return heads.reward


def ending_chance(heads: Heads, config: DreamConfig, weight: float) -> Tensor | None:
    """The chance of each of n dreams to end here, float32 [n]; None where M says nothing of endings.

    weight: of endings in M's training (`DONE_WEIGHT`); it multiplies the odds that M gives them
    """
    if heads.done_logit is None:
        return None
    if config.termination == "threshold":
        return (heads.done_logit > 0).float()
    return (heads.done_logit - (math.log(weight) if config.termination == "calibrated" else 0.0)).sigmoid()


@torch.inference_mode()
def open_loop(
    memory: MDNRNN,
    actions: ActionSpec,
    z: Tensor,
    state: LSTMState,
    restart: Tensor,
    taken: Tensor,
    temperature: float,
    draw: Callable[[int], tuple[Tensor, Tensor]],
) -> Tensor:
    """M dreams on alone in float32 from z [n, Nz] and its state before z, with C's actions `taken` [T, n, A].

    restart [n]: 1 where an episode begins. draw: (step) -> uniform and normal numbers [n, Nz] that z is drawn with.
    Returns the latents [T + 1, n, Nz], the first being z.
    """
    rows = DreamRows(PackedMemory(memory, torch.float32), len(z), temperature)
    rows.resume(z, state.h, state.c, restart[:, None][:, : rows.restart.shape[1]])
    streams, latents = torch.arange(len(z), device=z.device), [z]
    for step, action in enumerate(taken):
        rows.advance(actions.for_memory(action), *draw(step), streams)
        latents.append(rows.z.clone())
    return torch.stack(latents)
