"""CMA-ES behind ask and tell: pycma's arithmetic with its randomness, step-size rule and threads pinned."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from reverie.errors import DamagedFileError, ReverieError
from reverie.workers.seeds import generator

MATRICES = ("C", "B")  # covariance and its eigenvectors, [n, n]
VECTORS = ("mean", "D", "pc", "ps")  # D: roots of the eigenvalues; pc, ps: the two evolution paths, [n]
COUNTERS = ("generation", "told", "decomposed")
MOST = 10**6  # of whatever a state counts


class CMAES:
    """Maximises with the (mu/mu_w, lambda)-CMA-ES of Hansen (arXiv 1604.00772), starting at `start` [n] or at x = 0.

    Each generation draws from its own stream at (seed, "cma", generation), so the state holds no generator, and
    one that is restored between `ask` and `tell` asks the same candidates again.
    """

    def __init__(self, size: int, population: int, sigma: float, seed: int, start: np.ndarray | None = None) -> None:
        if size < 2:
            raise ReverieError(f"CMA-ES over {size} parameter(s); expected at least 2")
        if population < 4:
            raise ReverieError(f"CMA-ES population is {population}; expected at least 4")
        if not (math.isfinite(sigma) and sigma > 0):
            raise ReverieError(f"CMA-ES sigma is {sigma}; expected a finite number above 0")
        if start is not None and start.shape != (size,):
            raise ReverieError(f"CMA-ES over {size} parameters starts at {start.shape}; expected ({size},)")
        self.size, self.population, self.seed = size, population, seed
        self._rng = generator(seed, "cma", 0)
        self._asked: list[np.ndarray] | None = None
        self._es = _strategy(np.zeros(size) if start is None else start, population, sigma, self._normals)

    def __repr__(self) -> str:
        return (
            f"CMAES(size={self.size}, population={self.population}, generation={self.generation}, "
            f"sigma={self.sigma:.4g})"
        )

    def _normals(self, *shape: int) -> np.ndarray:
        return self._rng.standard_normal(shape)

    @property
    def generation(self) -> int:
        """The number of generations told."""
        return int(self._es.countiter)

    @property
    def sigma(self) -> float:
        """The step size."""
        return float(self._es.sigma)

    @property
    def mean(self) -> np.ndarray:
        """The centre of the search, float64 [n]."""
        return np.array(self._es.mean)

    def ask(self) -> np.ndarray:
        """This generation's candidates, float64 [P, n]; the same ones until `tell`."""
        if self._asked is None:
            self._rng = generator(self.seed, "cma", self.generation)
            sampler = self._es.sm
            with _one_thread():
                sampler.update_now()  # ask would do it too, and leave the eigenvectors in any memory order, while
                sampler.B = np.ascontiguousarray(sampler.B)  # BLAS rounds another order otherwise, and files keep one
                self._asked = self._es.ask()
        return np.array(self._asked)

    def tell(self, fitness: np.ndarray) -> None:
        """Move towards the candidates with the highest `fitness` [P]; raise where one is not a finite number."""
        fitness = np.asarray(fitness, np.float64)
        check_fitness(fitness, self.population, self.generation)
        if self._asked is None:
            raise RuntimeError("tell without ask")
        with _one_thread():
            self._es.tell(self._asked, (-fitness).tolist())
        self._asked = None

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The whole state: arrays by name, and what JSON keeps."""
        es, sampler = self._es, self._es.sm
        paths = {"mean": es.mean, "pc": es.pc, "ps": es.adapt_sigma.ps}
        arrays = {name: np.array(value) for name, value in paths.items()}
        arrays |= {name: np.array(getattr(sampler, name)) for name in ("C", "B", "D")}
        return arrays, {
            "size": self.size,
            "population": self.population,
            "seed": self.seed,
            "sigma": self.sigma,
            "generation": self.generation,
            "told": int(sampler.count_tell),
            "decomposed": int(sampler.last_update),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> CMAES:
        """The CMAES that `to_arrays` described, continuing bit for bit."""
        _check_state(arrays, state)
        self = cls(state["size"], state["population"], state["sigma"], state["seed"])
        es, sampler = self._es, self._es.sm
        sampler.C, sampler.B, sampler.D = (np.array(arrays[name]) for name in ("C", "B", "D"))
        sampler.count_tell, sampler.last_update = state["told"], state["decomposed"]
        es.mean, es.mean_old, es.pc = np.array(arrays["mean"]), np.array(arrays["mean"]), np.array(arrays["pc"])
        es.adapt_sigma.ps = np.array(arrays["ps"])
        es.countiter = state["generation"]
        es._updateBDfromSM(sampler)  # pycma's own copies of C and D
        return self


def check_fitness(fitness: np.ndarray, population: int, generation: int) -> None:
    """Raise where `fitness` is not P finite numbers: pycma would replace a NaN by the median in silence."""
    if fitness.shape != (population,):
        raise ReverieError(f"fitness has shape {fitness.shape}, expected ({population},), one number a candidate")
    wrong = np.flatnonzero(~np.isfinite(fitness))
    if len(wrong):
        raise ReverieError(
            f"fitness of candidate {wrong[0]} in generation {generation} is {fitness[wrong[0]]}, expected a finite "
            "number; the world or M returned a reward that is not one"
        )


def _strategy(start: np.ndarray, population: int, sigma: float, randn: Any) -> Any:
    """pycma's strategy, every choice that it would make by size or by the clock made here."""
    import cma  # takes 0.7 s: it imports matplotlib
    from cma.sigma_adaptation import CMAAdaptSigmaCSA

    options = {
        "popsize": population,
        "randn": randn,
        "seed": math.nan,  # any number would seed NumPy's global generator
        "AdaptSigma": CMAAdaptSigmaCSA,  # above 300 parameters the default is TPA
        "CMA_diagonal": 0,
        "CMA_mirrors": 0,  # below a population of 6 the default mirrors some candidates
        "conditioncov_alleviate": False,  # would change the coordinate system, and with it the state
        "verbose": -9,
        "verb_log": 0,
    }
    strategy = cma.CMAEvolutionStrategy(start, sigma, options)
    strategy.adapt_sigma.initialize(strategy)  # now, and not at the first tell, which would clear a restored path
    strategy.timer = cma.utilities.utils.ElapsedWCTime()  # ask expects it after generation 0
    return strategy


def _one_thread() -> Any:
    """BLAS rounds differently with another number of threads, and a search must not depend on it."""
    return _blas().limit(limits=1, user_api="blas")


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _check_state(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    missing = [name for name in (*MATRICES, *VECTORS) if name not in arrays]
    missing += [name for name in ("size", "population", "seed", "sigma", *COUNTERS) if name not in state]
    if missing:
        raise DamagedFileError(f"CMA-ES state lacks {', '.join(missing)}; it is not a checkpoint of the controller")
    size, counters = state["size"], [state[name] for name in ("size", "population", *COUNTERS)]
    fits = all(type(count) is int and 0 <= count <= MOST for count in counters)
    if not fits or type(state["seed"]) is not int or type(state["sigma"]) is not float:
        found = f"counters {counters!s:.100}, seed {state['seed']!r:.50} and sigma {state['sigma']!r:.50}"
        raise DamagedFileError(f"CMA-ES state has {found}")
    shapes = dict.fromkeys(MATRICES, (size, size)) | dict.fromkeys(VECTORS, (size,))
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.float64:
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            raise DamagedFileError(f"CMA-ES state has {name} of {found}, expected float64 {shape}")
    if (arrays["D"] <= 0).any():
        raise DamagedFileError("CMA-ES state has axes of length 0 or less")
