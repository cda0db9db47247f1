"""Dreams without end: n of them side by side, and one that ends begins anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reverie.controller.senses import features
from reverie.dreaming.engine import DreamEngine, dream_ended, dream_reward
from reverie.dreaming.follower import Follower
from reverie.dreaming.rows import DreamRows


class EndlessDreams:
    """n dreams of an engine. `age` int64 [n] counts the steps of each; `total` float64 [n] what it has brought."""

    def __init__(self, engine: DreamEngine, count: int, generator: torch.Generator) -> None:
        """The first dreams are cut off at ages of their own, so that they do not all begin anew at once."""
        self._engine = engine
        self.survival = engine.spec.reward == "survival"
        self.rows = DreamRows(engine.memory, count, engine.config.temperature, engine.kernel)
        self._follower = None if engine.beside is None else Follower(engine.beside, self.rows)
        device = engine.memory.device
        self._each = torch.arange(count, device=device)
        self.age = torch.randint(engine.max_steps, (count,), generator=generator, device=device)
        self.born = self.age.clone()
        self.total = torch.zeros(count, dtype=torch.float64, device=device)
        starts = engine.starts
        self._mu = torch.from_numpy(starts.mu).to(device)
        self._deviation = torch.from_numpy(np.exp(0.5 * starts.logvar)).to(device)
        self.begin(torch.ones(count, dtype=torch.bool, device=device), generator)

    def begin(self, where: Tensor, generator: torch.Generator) -> None:
        """Begin anew where bool [n] is true."""
        index = where.nonzero()[:, 0]
        start = torch.randint(len(self._mu), (len(index),), generator=generator, device=index.device)
        noise = torch.randn(len(index), self._mu.shape[1], generator=generator, device=index.device)
        self.rows.begin(index, self._mu[start] + self._deviation[start] * noise)
        if self._follower is not None:
            self._follower.begin(index)

    def see(self) -> Tensor:
        """C's features, float32 [n, F]."""
        return features(self._engine.controller.config, self.rows.z, (self._follower or self.rows).state).float()

    def step(self, felt: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One step with actions [n, A] as M sees them: rewards [n]; bool [n], which ended and which met the cap."""
        n, latent = len(self._each), self._mu.shape[1]
        device = self._each.device
        component = torch.rand(n, latent, generator=generator, device=device)
        spread = torch.randn(n, latent, generator=generator, device=device)
        ending = torch.rand(n, generator=generator, device=device)
        if self._follower is not None:
            self._follower.absorb(felt)
        outcome = self.rows.advance(felt, component, spread, self._each)
        reward = dream_reward(outcome, felt, self._engine.spec)
        ended = dream_ended(outcome, ending, self._engine.config)
        self.age += 1
        self.total += reward
        return reward, ended, (self.age >= self._engine.max_steps) & ~ended

    def renew(self, where: Tensor, generator: torch.Generator) -> tuple[list[float], list[int]]:
        """Begin anew where bool [n] is true; the returns and lengths of the whole dreams among those that it ends."""
        whole = where & (self.born == 0)
        returns, lengths = self.total[whole].tolist(), self.age[whole].tolist()
        self.age[where], self.born[where], self.total[where] = 0, 0, 0
        self.begin(where, generator)
        return returns, lengths

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        h, c = self.rows.state
        state = {"z": self.rows.z, "h": h.float(), "c": c, "restart": self.rows.restart.float()}
        if self._follower is not None:
            (h, c), restart = self._follower.state, self._follower.restart
            state |= {"beside_h": h.float(), "beside_c": c, "beside_restart": restart.float()}
        state |= {"age": self.age, "born": self.born, "total": self.total}
        return {name: tensor.cpu().numpy().copy() for name, tensor in state.items()}

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        state = {name: torch.from_numpy(array).to(self._each.device) for name, array in arrays.items()}
        self.rows.resume(state["z"], state["h"], state["c"], state["restart"])
        if self._follower is not None:
            self._follower.resume(state["beside_h"], state["beside_c"], state["beside_restart"])
        for name in ("age", "born", "total"):
            getattr(self, name).copy_(state[name])
