"""Dreams without end: n of them side by side, and one that ends begins anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.controller.senses import features
from reverie.dream.engine import DreamEngine, dream_ended, dream_reward, ending_chance
from reverie.dream.follower import Follower
from reverie.dream.moments import Moments
from reverie.dream.rows import DreamRows

Ended = tuple[list[float], list[int]]  # the returns and the lengths of dreams


class EndlessDreams:
    """n dreams of an engine. `age` int64 [n] counts the steps of each; `total` float64 [n] what it has brought.

    `rows` dream; `followers` are the other Ms beside them: first the one whose state C sees, where it sees another's.
    """

    def __init__(self, engine: DreamEngine, count: int, generator: torch.Generator) -> None:
        """The first dreams are cut off at ages of their own, so that they do not all begin anew at once."""
        device, starts = engine.memory.device, engine.starts
        self.engine = engine
        self.survival = engine.spec.reward == "survival"
        self.rows = DreamRows(engine.memory, count, engine.config.temperature, engine.kernel)
        self._seen = None if engine.beside is None else Follower(engine.beside, self.rows)
        self.doubt = None if engine.guard is None else engine.guard.doubt_of(self.rows)
        others = () if self.doubt is None else self.doubt.others
        self.followers = others if self._seen is None else (self._seen, *others)
        self.memories: tuple[DreamRows | Follower, ...] = (self.rows, *self.followers)
        self._dropout = 0.0 if engine.guard is None else engine.guard.dropout
        if self._dropout:
            self.rows.dropout = torch.ones(count, engine.memory.config.hidden_size, device=device).to(self.rows.dtype)
        self._each = torch.arange(count, device=device)
        self.age = torch.randint(engine.max_steps, (count,), generator=generator, device=device)
        self.born = self.age.clone()
        self.total = torch.zeros(count, dtype=torch.float64, device=device)
        self._mu = torch.from_numpy(starts.mu).to(device)
        self._deviation = torch.from_numpy(np.exp(0.5 * starts.logvar)).to(device)
        hidden = starts.hidden if isinstance(starts, Moments) else ()
        self._hidden = [(h.to(device), c.to(device)) for h, c in hidden]
        self.begin(torch.ones(count, dtype=torch.bool, device=device), generator)

    def begin(self, where: Tensor, generator: torch.Generator) -> None:
        """Begin anew where bool [n] is true."""
        index, device = where.nonzero()[:, 0], where.device
        start = torch.randint(len(self._mu), (len(index),), generator=generator, device=device)
        noise = torch.randn(len(index), self._mu.shape[1], generator=generator, device=device)
        self.rows.begin(index, self._mu[start] + self._deviation[start] * noise)
        for follower in self.followers:
            follower.begin(index)
        for memory, (h, c) in zip(self.memories, self._hidden, strict=False):
            memory.wake(index, h[start], c[start])
        if self.rows.dropout is not None:
            drawn = torch.rand(len(index), self.rows.dropout.shape[1], generator=generator, device=device)
            self.rows.dropout[index] = ((drawn >= self._dropout) / (1 - self._dropout)).to(self.rows.dropout.dtype)

    def see(self) -> Tensor:
        """C's features, float32 [n, F]."""
        config, expectation = self.engine.controller.config, self.engine.expectation
        return features(config, self.rows.z, (self._seen or self.rows).state, expectation).float()

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """What a step leaves to chance: components (uniform) and spread (normal) [n, Nz], endings (uniform) [n]."""
        n, latent, device = len(self._each), self._mu.shape[1], self._each.device
        component = torch.rand(n, latent, generator=generator, device=device)
        spread = torch.randn(n, latent, generator=generator, device=device)
        return component, spread, torch.rand(n, generator=generator, device=device)

    def step(self, felt: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One step with actions [n, A] as M sees them: rewards [n]; bool [n], which ended and which met the cap.

        The reward is what C is to feel: where it is to survive, less the chance of an end. In the mean that says what
        the end itself says, and there is less luck in it.
        """
        component, spread, ending = self.draw(generator)
        for follower in self.followers:
            follower.absorb(felt)
        outcome = self.rows.advance(felt, component, spread, self._each)
        reward = dream_reward(outcome, felt, self.engine.spec)
        config, weight = self.engine.config, self.engine.memory.config.done_weight
        ended = dream_ended(outcome, ending, config, weight)
        self.age += 1
        self.total += reward
        if self.survival:
            chance = ending_chance(outcome, config, weight)
            reward = -ended.float() if chance is None else -chance
        if self.doubt is not None:
            reward = reward - self.doubt.penalty()
        return reward, ended, (self.age >= self.engine.max_steps) & ~ended

    def renew(self, where: Tensor, generator: torch.Generator) -> Ended:
        """Begin anew where bool [n] is true; what the whole dreams among those that it ends have brought."""
        whole = where & (self.born == 0)
        ended = self.total[whole].tolist(), self.age[whole].tolist()
        self.age[where], self.born[where], self.total[where] = 0, 0, 0
        self.begin(where, generator)
        return ended

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        state = {"z": self.rows.z, "age": self.age, "born": self.born, "total": self.total}
        for number, memory in enumerate(self.memories):
            (h, c), restart = memory.state, memory.restart
            state |= {f"h{number}": h.float(), f"c{number}": c, f"restart{number}": restart.float()}
        if self.rows.dropout is not None:
            state["dropout"] = self.rows.dropout.float()
        return {name: tensor.cpu().numpy().copy() for name, tensor in state.items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        state = {name: torch.from_numpy(array).to(self._each.device) for name, array in arrays.items()}
        self.rows.resume(state["z"], *(state[f"{name}0"] for name in ("h", "c", "restart")))
        for number, follower in enumerate(self.followers, start=1):
            follower.resume(*(state[f"{name}{number}"] for name in ("h", "c", "restart")))
        if self.rows.dropout is not None:
            self.rows.dropout.copy_(state["dropout"])
        for name in ("age", "born", "total"):
            getattr(self, name).copy_(state[name])


class AllDreams:
    """The endless dreams of several engines as if they were of one: as many of each, one engine's after another's."""

    def __init__(self, engines: Sequence[DreamEngine], count: int, generator: torch.Generator) -> None:
        shares = [len(part) for part in np.array_split(np.arange(count), len(engines))]
        self.parts = [EndlessDreams(*each, generator) for each in zip(engines, shares, strict=True)]
        self._shares = shares

    def see(self) -> Tensor:
        """C's features, float32 [n, F]."""
        return torch.cat([part.see() for part in self.parts])

    def step(self, felt: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One step with actions [n, A] as M sees them: rewards, endings and cuts [n], as `EndlessDreams.step`."""
        actions = felt.split(self._shares)
        outcomes = [part.step(action, generator) for part, action in zip(self.parts, actions, strict=True)]
        reward, ended, cut = (torch.cat(each) for each in zip(*outcomes, strict=True))
        return reward, ended, cut

    def renew(self, where: Tensor, generator: torch.Generator) -> Ended:
        """Begin anew where bool [n] is true; what the whole dreams among those that it ends have brought."""
        returns, lengths = list[float](), list[int]()
        for part, some in zip(self.parts, where.split(self._shares), strict=True):
            if some.any():
                found = part.renew(some, generator)
                returns, lengths = returns + found[0], lengths + found[1]
        return returns, lengths

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        parts = enumerate(self.parts)
        return {f"{number}.{name}": array for number, part in parts for name, array in part.to_arrays().items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        for number, part in enumerate(self.parts):
            prefix = f"{number}."
            mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            part.from_arrays(mine)
