"""The dream as a function that gradients pass through: from what C does to what it brings, steps later.

M's matrices are multiplied as the engine multiplies them, all else is in float32. Which of a mixture's Gaussians z is
drawn from has no gradient; where in it z lies has (Kingma & Welling, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.controller.senses import features
from reverie.dream.engine import DreamEngine, dream_reward, ending_chance
from reverie.dream.rows import Outcome, PackedMemory, expected_latent
from reverie.learning.dreams import EndlessDreams
from reverie.learning.learner import Learner
from reverie.memory.lstm import LSTMState, cell
from reverie.memory.mixture import sample


class Window(NamedTuple):
    """T steps of n dreams. No end cuts a dream short: a step counts by the chance that its dream gets there.

    features: what C sees before each step and after the last, [T + 1, n, F]
    reward: as of `EndlessDreams.step`, [T, n]
    goes_on: the chance that the step does not end the dream, [T, n]
    reached: the chance to get to the step, 0 beyond the cap, [T, n]; no gradient leads through it
    cut: whether the step meets the cap, bool [T, n]
    stopped: which dreams are to begin anew: those that met it, or whose end was drawn meanwhile, bool [n]
    """

    features: Tensor
    reward: Tensor
    goes_on: Tensor
    reached: Tensor
    cut: Tensor
    stopped: Tensor


class _Mind(NamedTuple):
    """An M between two steps: h [n, H] in its dtype, c [n, H], and the restart input [n, 1] (no columns without)."""

    memory: PackedMemory
    h: Tensor
    c: Tensor
    restart: Tensor

    def absorbed(self, z: Tensor, felt: Tensor) -> _Mind:
        """The same, a step later."""
        parts = (part.to(self.memory.dtype) for part in (self.h, z, felt, self.restart))
        gates = F.linear(torch.cat([*parts], 1), self.memory.gates).float() + self.memory.bias
        h, c = cell(gates, self.c)
        return _Mind(self.memory, h.to(self.memory.dtype), c, torch.zeros_like(self.restart))


def unroll(dreams: EndlessDreams, learner: Learner, steps: int, generator: torch.Generator) -> Window:
    """Let C act in the dreams for some steps; they are left where that led, those that `stopped` too.

    Gradients lead from features, reward and goes_on to C's parameters and the spread of what it tries.
    """
    engine, z, going = dreams.engine, dreams.rows.z.clone(), torch.ones_like(dreams.age, dtype=torch.bool)
    minds = [_Mind(each.memory, *map(torch.clone, (*each.state, each.restart))) for each in dreams.memories]
    dropout = None if dreams.rows.dropout is None else dreams.rows.dropout.clone()
    ages = dreams.age + torch.arange(1, steps + 1, device=z.device)[:, None]  # [T, n], after each step
    seen, rewards, chances = [_see(engine, z, minds)], list[Tensor](), list[Tensor]()
    for _ in range(steps):
        choice = learner.policy.draw(learner.outputs(seen[-1]), learner.log_spread, generator)
        felt = learner.policy.felt(choice)
        component, spread, ending = dreams.draw(generator)
        minds = [mind.absorbed(z, felt) for mind in minds]
        h = minds[0].h if dropout is None else minds[0].h * dropout
        outputs = F.linear(h, engine.memory.head)
        said = engine.memory.split(outputs.float() + engine.memory.head_bias)
        z = sample(said.logits, said.mean, said.log_std, engine.config.temperature, component, spread)
        reward = dream_reward(Outcome(said.done_logit, said.reward), felt, engine.spec)
        chance = _ending(engine, said.done_logit, reward)
        dreams.total += (reward * going).detach()
        dreams.age += going
        going = going & (chance <= ending) & (dreams.age < engine.max_steps)
        felt_reward = -chance if dreams.survival else reward
        rewards.append(felt_reward if dreams.doubt is None else felt_reward - _doubt(dreams, outputs, minds))
        chances.append(1 - chance)
        seen.append(_see(engine, z, minds))
    _settle(dreams, z, minds)
    goes_on = torch.stack(chances)
    before = torch.cat([torch.ones_like(goes_on[:1]), goes_on[:-1].detach()]).cumprod(0)
    reached, cut = before * (ages <= engine.max_steps), ages == engine.max_steps
    return Window(torch.stack(seen), torch.stack(rewards), goes_on, reached, cut, ~going)


def _see(engine: DreamEngine, z: Tensor, minds: Sequence[_Mind]) -> Tensor:
    """C's features, float32 [n, F]."""
    seen = minds[0 if engine.beside is None else 1]
    return features(engine.controller.config, z, LSTMState(seen.h, seen.c), engine.expectation).float()


def _ending(engine: DreamEngine, done_logit: Tensor | None, like: Tensor) -> Tensor:
    """The chance of an end, [n]."""
    chance = ending_chance(Outcome(done_logit, None), engine.config, engine.memory.config.done_weight)
    return torch.zeros_like(like) if chance is None else chance


def _doubt(dreams: EndlessDreams, outputs: Tensor, minds: Sequence[_Mind]) -> Tensor:
    """What the Ms' disagreement on the step costs, [n]; outputs: of the M that dreams."""
    assert dreams.doubt is not None
    others = minds[len(minds) - len(dreams.doubt.others) :]
    expected = [expected_latent(mind.memory, F.linear(mind.h, mind.memory.head)) for mind in others]
    return dreams.doubt.price([expected_latent(dreams.rows.memory, outputs), *expected])


@torch.no_grad()
def _settle(dreams: EndlessDreams, z: Tensor, minds: Sequence[_Mind]) -> None:
    """Leave the dreams where the window has led."""
    dreamer, *others = minds
    dreams.rows.resume(z, dreamer.h, dreamer.c, dreamer.restart)
    for follower, mind in zip(dreams.followers, others, strict=True):
        follower.resume(mind.h, mind.c, mind.restart)
