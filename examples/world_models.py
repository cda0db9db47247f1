"""World Models (Ha & Schmidhuber 2018, arXiv 1803.10122) in one file: V, M, C and the dream, top to bottom.

    python examples/world_models.py --seed 0 --picture world_models.png

V sees: a convolutional VAE turns a frame into a latent z. M remembers: an MDN-RNN predicts the next z from z, the
action a and its own state h. C acts: a linear map of [z, h] to a. V and M learn from random play; then C is evolved in
M's dream, where no frame is ever drawn, and scored in the real world.

The world is `tiny`: two bars grow from the left, the golden one wanders, and C moves the blue one by up to 4 pixels a
step. A step brings 1 where the two end level, 0 where they are 20 pixels apart. Further apart the episode ends.

In shapes, T is steps, B a batch, N episodes, P candidates for C, E dreams of each; the rest is in `Sizes`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import cma
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import reverie


class Sizes(NamedTuple):  # what the agents of different worlds differ in
    Nz: int  # numbers in a latent z
    Na: int  # numbers in an action a
    Nh: int  # cells of M's LSTM
    restart: bool  # M is told on which step an episode begins
    done: bool  # M predicts the end of the episode
    reward: bool  # M predicts the reward
    cell: bool  # C sees c, the LSTM's cells, too
    bias: bool  # C has a bias


CAR = Sizes(32, 3, 256, restart=False, done=False, reward=False, cell=False, bias=True)  # CarRacing, section 3
DOOM = Sizes(64, 1, 512, restart=True, done=True, reward=False, cell=True, bias=False)  # VizDoom, section 4
TINY = Sizes(8, 1, 64, restart=True, done=True, reward=True, cell=False, bias=True)

K, DONE_WEIGHT = 5, 10.0  # Gaussians for each number of z; weight of an episode's last step in M's loss
STEPS, EPISODES = 100, 400  # of an episode at most; of random play
V_UPDATES, V_BATCH, V_RATE = 300, 32, 1e-3  # RATE: Adam's
M_UPDATES, M_BATCH, M_RATE = 600, 32, 2e-3
GENERATIONS, POPULATION, DREAMS, SIGMA = 40, 32, 16, 0.1  # of CMA-ES; DREAMS for each candidate, SIGMA at first
TAU = 1.0  # the temperature of the dream C learns in; more makes it less certain and harder to cheat
GAMES, UNSEEN = 100, 2**30  # episodes of a score, and the seed of the first; training stays below


class ConvVAE(nn.Module):
    """V (section 2.1, appendix A.1): a frame x to a latent z and back. Parameters: car 4,348,547, Doom 4,446,915."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = nn.Sequential(  # [B, 3, 64, 64]
            *(nn.Conv2d(3, 32, 4, stride=2), nn.ReLU()),  # [B, 32, 31, 31]
            *(nn.Conv2d(32, 64, 4, stride=2), nn.ReLU()),  # [B, 64, 14, 14]
            *(nn.Conv2d(64, 128, 4, stride=2), nn.ReLU()),  # [B, 128, 6, 6]
            *(nn.Conv2d(128, 256, 4, stride=2), nn.ReLU()),  # [B, 256, 2, 2]
            nn.Flatten(),  # [B, 1024]
        )
        self.mu, self.logvar = nn.Linear(1024, sizes.Nz), nn.Linear(1024, sizes.Nz)
        self.decoder = nn.Sequential(  # [B, Nz]
            *(nn.Linear(sizes.Nz, 1024), nn.Unflatten(1, (1024, 1, 1))),
            *(nn.ConvTranspose2d(1024, 128, 5, stride=2), nn.ReLU()),  # [B, 128, 5, 5]
            *(nn.ConvTranspose2d(128, 64, 5, stride=2), nn.ReLU()),  # [B, 64, 13, 13]
            *(nn.ConvTranspose2d(64, 32, 6, stride=2), nn.ReLU()),  # [B, 32, 30, 30]
            *(nn.ConvTranspose2d(32, 3, 6, stride=2), nn.Sigmoid()),  # [B, 3, 64, 64]
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, 64, 64] in [0, 1] to mu and logvar = ln sigma^2, both [B, Nz]."""
        y = self.encoder(x)
        return self.mu(y), self.logvar(y)


def draw_z(mu: Tensor, logvar: Tensor) -> Tensor:
    """z ~ N(mu, sigma^2), as mu + sigma * noise."""
    return mu + torch.exp(logvar / 2) * torch.randn_like(mu)


def vision_loss(x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error and KL(N(mu, sigma^2) || N(0, 1)) of a frame, means over B; up to 0.5 Nz nats the KL is free."""
    error = (x_hat - x).square().sum((1, 2, 3))  # [B]
    kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)  # [B]
    return error.mean(), kl.clamp(min=0.5 * mu.shape[1]).mean()


class Prediction(NamedTuple):  # what M expects of a step: a mixture for each number of the next z, and two heads
    logits: Tensor  # [..., Nz, K], mixture weights before the softmax
    mean: Tensor  # [..., Nz, K]
    log_std: Tensor  # [..., Nz, K]
    done: Tensor | None  # [...], a logit
    reward: Tensor | None  # [...]


class MDNRNN(nn.Module):
    """M (section 2.2, appendix A.2): p(z' | z, a, h). Parameters: car 422,368, Doom 1,678,785."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.gates = nn.Linear(sizes.Nz + sizes.Na + sizes.restart + sizes.Nh, 4 * sizes.Nh)
        self.head = nn.Linear(sizes.Nh, 3 * sizes.Nz * K + sizes.done + sizes.reward)

    def step(self, z: Tensor, a: Tensor, restart: float, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The LSTM takes in z [..., Nz] and a [..., Na], and its state h, c [..., Nh] moves on."""
        inputs = [z, a, torch.full_like(a[..., :1], restart)] if self.sizes.restart else [z, a]
        i, f, g, o = self.gates(torch.cat([*inputs, h], -1)).chunk(4, -1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)  # + 1: an untrained M remembers
        return torch.sigmoid(o) * torch.tanh(c), c

    def predict(self, h: Tensor) -> Prediction:
        """What follows, from the state h [..., Nh] after the step."""
        y, size = self.head(h), 3 * self.sizes.Nz * K
        logits, mean, log_std = y[..., :size].unflatten(-1, (3, self.sizes.Nz, K)).unbind(-3)
        done, reward = y[..., size] if self.sizes.done else None, y[..., -1] if self.sizes.reward else None
        return Prediction(logits, mean, log_std, done, reward)

    def forward(self, z: Tensor, a: Tensor) -> Prediction:
        """Whole episodes, z [T, B, Nz] and a [T, B, Na], step by step: the predictions are [T, B, ...]."""
        h = c = z.new_zeros(z.shape[1], self.sizes.Nh)
        hidden = []
        for t in range(len(z)):
            h, c = self.step(z[t], a[t], float(t == 0), h, c)
            hidden.append(h)
        return self.predict(torch.stack(hidden))


def memory_loss(y: Prediction, z: Tensor, r: Tensor, done: Tensor, live: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """-log p(z' | z, a, h) a number of z, cross entropy of done, squared error of r: means over the `live` [T, B]."""
    log_normal = torch.distributions.Normal(y.mean, y.log_std.exp()).log_prob(z.unsqueeze(-1))  # [T, B, Nz, K]
    nll = -torch.logsumexp(torch.log_softmax(y.logits, -1) + log_normal, -1).mean(-1)  # [T, B]
    end = F.binary_cross_entropy_with_logits(y.done, done, reduction="none", pos_weight=torch.tensor(DONE_WEIGHT))
    return tuple((loss * live).sum() / live.sum() for loss in (nll, end, (y.reward - r).square()))


def sample(y: Prediction, tau: float, uniform: Tensor, normal: Tensor) -> Tensor:
    """The next z at temperature tau: `uniform` chooses among the K Gaussians, `normal` draws; all [..., Nz]."""
    cumulative = torch.softmax(y.logits / tau, -1).cumsum(-1)
    k = (uniform.unsqueeze(-1) >= cumulative[..., :-1]).sum(-1, keepdim=True)
    mean, log_std = y.mean.gather(-1, k).squeeze(-1), y.log_std.gather(-1, k).squeeze(-1)
    return mean + torch.exp(log_std) * math.sqrt(tau) * normal


def controller_size(sizes: Sizes) -> int:
    """How many numbers C is: car 867, Doom 1,088."""
    return (sizes.Nz + sizes.Nh * (1 + sizes.cell) + sizes.bias) * sizes.Na


def act(sizes: Sizes, params: Tensor, z: Tensor, h: Tensor, c: Tensor) -> Tensor:
    """C (section 2.3): a = tanh(W [z h] + b), for P candidates [P, n] in E episodes each; z, h, c [P, E, ...]."""
    x = torch.cat([z, c, h] if sizes.cell else [z, h], -1)
    W = params[:, : x.shape[-1] * sizes.Na].unflatten(1, (-1, sizes.Na))  # [P, inputs, Na]
    b = params[:, None, -sizes.Na :] if sizes.bias else 0.0  # [P, 1, Na]
    return torch.tanh(x @ W + b)  # [P, E, Na]


@torch.no_grad()
def dream(M: MDNRNN, params: Tensor, z: Tensor, tau: float, uniform: Tensor, normal: Tensor) -> tuple[Tensor, ...]:
    """The dream (section 4): M in the world's place, for candidates [P, n] that all begin at z [E, Nz].

    The noise [T, E, Nz] is the same for all, too, so that they are compared fairly.
    Returns the sums of rewards and the lengths, both [P, E], and the latents [T + 1, P, E, Nz].
    """
    z = z.expand(len(params), *z.shape)
    h = c = z.new_zeros(*z.shape[:2], M.sizes.Nh)
    returns, lengths, live = z.new_zeros(z.shape[:2]), z.new_zeros(z.shape[:2]), z.new_ones(z.shape[:2])
    latents = [z]
    for t in range(len(uniform)):
        a = act(M.sizes, params, z, h, c)  # C sees z, and the state from before M takes it in
        h, c = M.step(z, a, float(t == 0), h, c)
        y = M.predict(h)
        z = sample(y, tau, uniform[t], normal[t])
        returns += live * (y.reward if M.sizes.reward else 1.0)  # in Doom 1 for each step survived
        lengths += live
        live = live * (y.done <= 0)  # the dream ends where p(done) > 1/2
        latents.append(z)
    return returns, lengths, torch.stack(latents)


class Rollouts(NamedTuple):  # N episodes side by side
    frames: np.ndarray  # uint8 [T + 1, N, 64, 64, 3]
    a: np.ndarray  # [T, N, Na]
    r: np.ndarray  # [T, N]
    done: np.ndarray  # [T, N], 1 where the world ended the episode
    live: np.ndarray  # [T + 1, N], 1 as long as it went on; frames[t + 1] is what step t brought, if live[t + 1]


def play(agent: Callable[[np.ndarray], np.ndarray], episodes: int, seed: int) -> Rollouts:
    """What agent(frames [N, 64, 64, 3]) -> actions [N, Na] lives through in the episodes `seed`, `seed` + 1, ..."""
    frame, _ = (world := reverie.make("tiny", num_envs=episodes)).reset(seed=seed)
    frames, a = np.zeros((STEPS + 1, *frame.shape), np.uint8), np.zeros((STEPS, episodes, TINY.Na), np.float32)
    r, done, live = (np.zeros((steps, episodes), np.float32) for steps in (STEPS, STEPS, STEPS + 1))
    frames[0], live[0], going = frame, 1, np.ones(episodes, bool)
    for t in range(STEPS):
        a[t] = agent(frame)
        frame, r[t], terminated, truncated, _ = world.step(a[t])  # after its end an episode stands still and brings 0
        frames[t + 1, going], done[t], live[t + 1] = frame[going], terminated & going, going
        going = ~(terminated | truncated)
    return Rollouts(frames, a, r, done, live)


def random_agent(rng: np.random.Generator, episodes: int, hold: float) -> Callable[[np.ndarray], np.ndarray]:
    """Uniform actions, held for some steps, on average 1 to `hold` in an episode: white noise alone gets nowhere."""
    change, held = 1 / rng.uniform(1, hold, (episodes, 1)), np.zeros((episodes, TINY.Na))

    def agent(frame: np.ndarray) -> np.ndarray:
        np.copyto(held, rng.uniform(-1, 1, held.shape), where=rng.random(change.shape) < change)
        return held

    return agent


def agent_of(V: ConvVAE, M: MDNRNN, params: Tensor, episodes: int) -> Callable[[np.ndarray], np.ndarray]:
    """V, M and C [1, n] together (section 2.4)."""
    h = c = torch.zeros(1, episodes, TINY.Nh)
    restart = 1.0

    @torch.no_grad()
    def agent(frame: np.ndarray) -> np.ndarray:
        nonlocal h, c, restart
        z = draw_z(*V.encode(to_image(frame)))[None]  # [1, N, Nz]
        a = act(TINY, params, z, h, c)
        h, c = M.step(z, a, restart, h, c)
        restart = 0.0
        return a[0].numpy()

    return agent


def to_image(frames: np.ndarray) -> Tensor:  # uint8 [B, 64, 64, 3]
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # [B, 3, 64, 64] in [0, 1]


def train_vision(rollouts: Rollouts, rng: np.random.Generator) -> ConvVAE:
    V = ConvVAE(TINY)
    optimizer = torch.optim.Adam(V.parameters(), V_RATE)
    t, n = rollouts.live.nonzero()
    for update in range(1, V_UPDATES + 1):
        some = rng.integers(len(t), size=V_BATCH)
        x = to_image(rollouts.frames[t[some], n[some]])
        mu, logvar = V.encode(x)
        error, kl = vision_loss(x, V.decoder(draw_z(mu, logvar)), mu, logvar)
        optimizer.zero_grad()
        (error + kl).backward()
        optimizer.step()
        if update % 100 == 0:
            print(f"  V {update:4}: squared error {error:6.2f} a frame, KL {kl:5.2f} nats")
    return V


@torch.no_grad()
def encode(V: ConvVAE, rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """mu and logvar of all frames, both [T + 1, N, Nz]; 0 after an episode's end."""
    mu, logvar = torch.zeros(2, *rollouts.live.shape, TINY.Nz)
    for t, live in enumerate(rollouts.live > 0):
        mu[t, live], logvar[t, live] = V.encode(to_image(rollouts.frames[t, live]))
    return mu, logvar


def train_memory(rollouts: Rollouts, mu: Tensor, logvar: Tensor, rng: np.random.Generator) -> MDNRNN:
    M = MDNRNN(TINY)
    optimizer = torch.optim.Adam(M.parameters(), M_RATE)
    a, r, done, live = (torch.from_numpy(array) for array in rollouts[1:])
    for update in range(1, M_UPDATES + 1):
        n = torch.from_numpy(rng.integers(mu.shape[1], size=M_BATCH))
        z = draw_z(mu[:, n], logvar[:, n])  # anew for each batch, so that M cannot learn the noise by heart
        nll, end, error = memory_loss(M(z[:-1], a[:, n]), z[1:], r[:, n], done[:, n], live[1:, n])
        optimizer.zero_grad()
        (nll + end + error).backward()
        nn.utils.clip_grad_value_(M.parameters(), 1.0)
        optimizer.step()
        if update % 100 == 0:
            print(f"  M {update:4}: z {nll:6.3f} nats, done {end:.3f}, reward {error:.4f}")
    return M


def evolve(M: MDNRNN, mu: Tensor, logvar: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """C [1, n], where CMA-ES in the dream ends (appendix A.4), and its returns in fresh dreams; mu, logvar [N, Nz]."""

    def dreamt(params: list[np.ndarray], dreams: int) -> Tensor:
        n, shape = torch.randint(len(mu), (dreams,)), (STEPS, dreams, TINY.Nz)
        z = draw_z(mu[n], logvar[n])  # a dream begins at a real first frame
        params = torch.from_numpy(np.stack(params)).float()
        return dream(M, params, z, TAU, torch.rand(shape), torch.randn(shape))[0]  # [P, E]

    options = {"popsize": POPULATION, "seed": seed + 1, "verbose": -9, "verb_log": 0}
    strategy = cma.CMAEvolutionStrategy(np.zeros(controller_size(TINY)), SIGMA, options)
    for generation in range(1, GENERATIONS + 1):
        candidates = strategy.ask()
        fitness = dreamt(candidates, DREAMS).mean(1)  # [P]
        strategy.tell(candidates, (-fitness).tolist())  # it minimises
        if generation % 10 == 0:
            print(f"  C {generation:4}: dreamt return {fitness.mean():5.1f}, best {fitness.max():5.1f}")
    return torch.from_numpy(strategy.mean[None]).float(), dreamt([strategy.mean], GAMES)[0]


@torch.no_grad()
def draw(V: ConvVAE, M: MDNRNN, params: Tensor, rollouts: Rollouts, path: str) -> None:
    """Rows of frames, 10 each: an episode; what V makes of them; C's dream that begins at the first of them."""
    shown, n = slice(0, STEPS, STEPS // 10), int(rollouts.live.sum(0).argmax())
    frames = rollouts.frames[shown, n]
    mu, _ = V.encode(to_image(frames))
    _, _, dreamt = dream(M, params, mu[:1], TAU, torch.rand(STEPS, 1, TINY.Nz), torch.randn(STEPS, 1, TINY.Nz))
    rows = torch.stack([to_image(frames), V.decoder(mu), V.decoder(dreamt[shown, 0, 0])])  # [3, 10, 3, 64, 64]
    grid = F.pad(rows, (1, 1, 1, 1)).permute(0, 3, 1, 4, 2).reshape(3 * 66, -1, 3)
    Image.fromarray((grid * 255).byte().numpy()).quantize(128).save(path, optimize=True)


def main(seed: int, picture: str) -> dict[str, np.ndarray]:
    """All of it, one after the other; gives the returns of the scored episodes."""
    torch.manual_seed(seed)
    rng, began = np.random.default_rng(seed), time.time()

    def say(what: str) -> None:
        print(f"[{time.time() - began:4.0f} s] {what}", flush=True)

    say(f"collect {EPISODES} episodes of random play")
    rollouts = play(random_agent(rng, EPISODES, hold=10), EPISODES, seed * EPISODES)
    say(f"train V on {rollouts.live.sum():.0f} frames, and encode them")
    V = train_vision(rollouts, rng)
    mu, logvar = encode(V, rollouts)
    say("train M")
    M = train_memory(rollouts, mu, logvar, rng)
    say(f"evolve C, {controller_size(TINY)} numbers, in the dream")
    C, dreamt = evolve(M, mu[0], logvar[0], seed)
    say(f"score over {GAMES} episodes")
    played = play(agent_of(V, M, C, GAMES), GAMES, UNSEEN + seed * GAMES)
    chance = play(random_agent(rng, GAMES, hold=1), GAMES, UNSEEN + seed * GAMES)
    draw(V, M, C, played, picture)
    scores = {"random play": chance.r.sum(0), "C in its dream": dreamt.numpy(), "C in the real world": played.r.sum(0)}
    say(f"done; {picture}: the world, what V makes of it, the dream. Returns, mean and std, at most {STEPS}:")
    for name, returns in scores.items():
        print(f"{name:20} {returns.mean():5.1f} ± {returns.std():4.1f}")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="World Models in one file: V, M, C and the dream of the world `tiny`.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", default="world_models.png")
    main(**vars(parser.parse_args()))
