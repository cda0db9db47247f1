"""CMA-ES: what asking and telling costs, beside the generation of dreams between them."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from reverie.bench.dreams import STEPS, generation_rate
from reverie.bench.measuring import Setting, median, processes
from reverie.bench.models import make_env, paper
from reverie.bench.result import Measured
from reverie.learning.cma import CMAES
from reverie.learning.config import CMAESConfig
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers

MEAN_LENGTH = 500  # steps of a dream, in the generation that ask and tell are compared with
GENERATIONS = 8  # the covariance is decomposed in every fourth
PLAIN_GENERATIONS = 2


@dataclass(frozen=True)
class SearchTask:
    """A search over `size` parameters."""

    size: int
    population: int
    generations: int


def ask_and_tell(setting: Setting) -> Measured:
    """Doom's 1,088 parameters, 64 candidates."""
    env, config = make_env(setting.folder, paper("doom", "dream"), setting.amount(STEPS)), CMAESConfig()
    size = env.controller_shape().parameter_count if setting.effort >= 1 else 20
    search = SearchTask(size, config.population, GENERATIONS)
    with MemoryWatch() as memory, Workers(1) as pool:
        ours = median(lambda: pool.map(search_seconds, [search])[0], setting.repeats)
        plain = SearchTask(size, config.population, PLAIN_GENERATIONS)
        baseline = median(lambda: pool.map(plain_search_seconds, [plain])[0], 1, warm_up=False)
    with Workers(setting.workers) as pool:
        dreaming = median(lambda: generation_rate(env, pool, setting), 1)
    generation = config.population * config.episodes * MEAN_LENGTH / dreaming
    return Measured(
        ours=ours,
        baseline=baseline,
        limit=generation,
        peak_memory_mb=memory.peak_mb,
        threads=processes(1),
        share=ours / generation,
        notes=f"{size:,} parameters; limit and share: of a generation of 64 x 16 dreams of {MEAN_LENGTH} steps; "
        "baseline: textbook NumPy, multivariate_normal in every generation",
    )


def search_seconds(search: SearchTask) -> float:
    """Seconds that ask and tell take together in a generation, the mean over some."""
    strategy, rng = CMAES(search.size, search.population, 0.1, seed=0), np.random.default_rng(0)
    strategy.ask()
    strategy.tell(rng.standard_normal(search.population))
    begun = time.perf_counter()
    for _ in range(search.generations):
        strategy.ask()
        strategy.tell(rng.standard_normal(search.population))
    return (time.perf_counter() - begun) / search.generations


def plain_search_seconds(search: SearchTask) -> float:
    """The same for the textbook's equations, written down in NumPy."""
    strategy, rng, seconds = PlainCMAES(search.size, search.population, 0.1), np.random.default_rng(0), []
    for _ in range(search.generations):
        begun = time.perf_counter()
        candidates = strategy.ask(rng)
        strategy.tell(candidates, rng.standard_normal(search.population))
        seconds.append(time.perf_counter() - begun)
    return statistics.mean(seconds)


class PlainCMAES:
    """(mu/mu_w, lambda)-CMA-ES with cumulative step-size adaptation, after Hansen's tutorial (arXiv 1604.00772)."""

    def __init__(self, size: int, population: int, sigma: float) -> None:
        parents = population // 2
        weights = np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
        self.weights = weights / weights.sum()
        self.mass = 1 / np.square(self.weights).sum()  # mu_eff
        self.mean, self.sigma, self.covariance = np.zeros(size), sigma, np.eye(size)
        self.path, self.step_path = np.zeros(size), np.zeros(size)
        self.path_rate = (4 + self.mass / size) / (size + 4 + 2 * self.mass / size)
        self.step_rate = (self.mass + 2) / (size + self.mass + 5)
        self.damping = 1 + self.step_rate + 2 * max(0.0, np.sqrt((self.mass - 1) / (size + 1)) - 1)
        self.rank_one = 2 / ((size + 1.3) ** 2 + self.mass)
        rank_mu = 2 * (self.mass - 2 + 1 / self.mass) / ((size + 2) ** 2 + self.mass)
        self.rank_mu = min(1 - self.rank_one, rank_mu)
        self.parents, self.expected = parents, np.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))

    def ask(self, rng: np.random.Generator) -> np.ndarray:
        """Candidates float64 [P, n] from N(mean, sigma^2 C)."""
        count = 2 * self.parents
        return rng.multivariate_normal(self.mean, self.sigma**2 * self.covariance, count)

    def tell(self, candidates: np.ndarray, fitness: np.ndarray) -> None:
        """Move towards the fittest."""
        steps = (candidates[np.argsort(-fitness)[: self.parents]] - self.mean) / self.sigma
        step = self.weights @ steps
        self.mean = self.mean + self.sigma * step
        values, vectors = np.linalg.eigh(self.covariance)
        whitened = vectors @ (vectors.T @ step / np.sqrt(values.clip(1e-20)))
        self.step_path += -self.step_rate * self.step_path
        self.step_path += np.sqrt(self.step_rate * (2 - self.step_rate) * self.mass) * whitened
        self.path += -self.path_rate * self.path + np.sqrt(self.path_rate * (2 - self.path_rate) * self.mass) * step
        spread = (steps.T * self.weights) @ steps
        self.covariance *= 1 - self.rank_one - self.rank_mu
        self.covariance += self.rank_one * np.outer(self.path, self.path) + self.rank_mu * spread
        self.sigma *= float(
            np.exp(self.step_rate / self.damping * (np.linalg.norm(self.step_path) / self.expected - 1))
        )
