"""An update of C by PPO (Schulman et al., 2017): `update` in the dream, `improve` on any experience."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.learning.config import GradientConfig
from reverie.learning.dreams import AllDreams
from reverie.learning.learner import Experience, Learner, advantages, counted, loss_of, require_finite

HALVINGS = 8  # of a step of C that is too long, the last of which leaves nothing of it


def update(
    dreams: AllDreams,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    config: GradientConfig,
    generator: torch.Generator,
    number: int,
) -> tuple[list[float], dict[str, float]]:
    """Improve C and the critic on a window of every dream; `number` is the update's, from 0.

    Returns what the dreams that ended in it have brought, and the metrics entropy, explained and (under a limit)
    shortened.
    """
    experience, ended = _dream(dreams, learner, config, generator)
    entropy, shortened = improve(learner, optimizer, experience, config, generator, number)
    values = {"entropy": entropy, "explained": explained(experience)}
    return ended, values if config.divergence_limit is None else values | {"shortened": shortened}


@torch.no_grad()
def _dream(
    dreams: AllDreams, learner: Learner, config: GradientConfig, generator: torch.Generator
) -> tuple[Experience, list[float]]:
    """A window of every dream, [T * n] steps in all, and the returns of the dreams that ended in it."""
    shape, features = (config.window, config.dreams), dreams.see()
    seen = features.new_empty(*shape, features.shape[1])
    choice = features.new_empty(*shape, learner.controller.actions.size)
    rewards, values, cut_values = features.new_empty(shape), features.new_empty(shape), features.new_zeros(shape)
    stops, returns = torch.zeros(shape, dtype=torch.bool, device=features.device), []
    holds = Holds(config, generator, features.device) if config.hold_chance else None
    for t in range(config.window):
        seen[t], values[t] = features, learner.value(features)
        choice[t] = learner.policy.draw(learner.outputs(features), learner.log_spread, generator)
        if holds:
            choice[t] = holds.after(choice[t])
        reward, ended, cut = dreams.step(learner.policy.felt(choice[t]), generator)
        rewards[t] = counted(reward, config) / learner.reward_scale
        stops[t] = ended | cut
        if cut.any():
            cut_values[t, cut] = learner.value(dreams.see()[cut])
        if stops[t].any():
            returns += dreams.renew(stops[t], generator)[0]
            if holds:
                holds.end(stops[t])
        features = dreams.see()
    values = torch.cat([values, learner.value(features)[None]])
    chosen = None if holds is None else torch.stack(holds.chosen)
    found = advantages(rewards, values, cut_values, stops, config, chosen)
    log_chance, _ = learner.policy.odds(learner.outputs(seen.flatten(0, 1)), learner.log_spread, choice.flatten(0, 1))
    parts = (seen.flatten(0, 1), choice.flatten(0, 1), log_chance, found.flatten(), (found + values[:-1]).flatten())
    experience = Experience(*parts)
    if chosen is not None:  # what was held is no choice to learn from
        experience = Experience(*(part[chosen.flatten()] for part in experience))
    return experience, returns


class Holds:
    """Choices that go on for some steps, in n dreams side by side; they end with the window at the latest."""

    def __init__(self, config: GradientConfig, generator: torch.Generator, device: torch.device) -> None:
        self.config, self.generator = config, generator
        self.chosen: list[Tensor] = []  # of each step bool [n], where C chose
        self._left = torch.zeros(config.dreams, dtype=torch.long, device=device)  # steps of the hold still to come
        self._held: Tensor | None = None

    def after(self, choice: Tensor) -> Tensor:
        """What is done in a step, [n, A], where `choice` is what C has drawn in it."""
        free, n, device = self._left == 0, len(choice), choice.device
        begun = free & (torch.rand(n, generator=self.generator, device=device) < self.config.hold_chance)
        lengths = torch.randint(2, self.config.longest_hold + 1, (n,), generator=self.generator, device=device)
        self._held = choice if self._held is None else torch.where(free[:, None], choice, self._held)
        self._left = torch.where(begun, lengths - 1, (self._left - 1).clamp_min(0))
        self.chosen.append(free)
        return self._held

    def end(self, where: Tensor) -> None:
        """The dreams where bool [n] is true are over, and their holds with them."""
        self._left[where] = 0


def improve(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    experience: Experience,
    config: GradientConfig,
    generator: torch.Generator,
    number: int,
) -> tuple[float, float]:
    """PPO's passes over the experience.

    Returns the policy's entropy in the last of them, and the share of C's steps that were shortened; the critic's never
    are.
    """
    count, entropies, found, shortened = len(experience.returns), list[Tensor](), experience.advantage, 0
    experience = experience._replace(advantage=(found - found.mean()) / found.std().clamp_min(1e-8))
    for _ in range(config.epochs):
        entropies.clear()
        order = torch.randperm(count, generator=generator, device=experience.returns.device)
        for index in order.chunk(config.batches):
            some = Experience(*(part[index] for part in experience))
            loss, entropy = loss_of(learner, some, config)
            require_finite("loss", loss.item(), config, number)
            optimizer.zero_grad()
            loss.backward()
            before = learner.scaled.detach().clone(), learner.log_spread.detach().clone()
            optimizer.step()
            if config.divergence_limit is not None:
                shortened += _shorten(learner, some, *before, config.divergence_limit)
            entropies.append(entropy)
    return float(torch.stack(entropies).mean()), shortened / (config.epochs * config.batches)


@torch.no_grad()
def _shorten(learner: Learner, some: Experience, scaled: Tensor, log_spread: Tensor, limit: float) -> bool:
    """Halve C's last step, from what it was before, until its odds are within the limit; False where they are.

    After `HALVINGS` in vain the step is undone.
    """
    if divergence(learner, some) <= limit:
        return False
    step, widening = learner.scaled - scaled, learner.log_spread - log_spread
    for halving in range(1, HALVINGS + 1):
        part = 0.5**halving if halving < HALVINGS else 0.0
        learner.move(scaled + part * step, log_spread + part * widening)
        if divergence(learner, some) <= limit:
            break
    return True


@torch.no_grad()
def divergence(learner: Learner, some: Experience) -> float:
    """How far C's odds are from those that the experience was drawn by: KL(then || now) in nats.

    Estimated from the choices drawn, as mean(ratio - 1 - log ratio), which is never below 0.
    """
    now, _ = learner.policy.odds(learner.outputs(some.features), learner.log_spread, some.choice)
    change = now - some.log_chance
    return float((change.exp() - 1 - change).mean())


def explained(experience: Experience) -> float:
    """The share of the returns' variance that the critic foresaw."""
    error = experience.advantage.var() / experience.returns.var().clamp_min(1e-12)
    return float(1 - error)
