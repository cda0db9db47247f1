"""What many cores bring: the real schedule of workers/schedule.py over simulated workers. docs/notebook/measurements.md

python benchmarks/cluster.py docs/images/cluster.png

Simulated are the workers (how long a task takes, who dies, hangs or is slow), the one process that hands tasks out and
takes results in, and its network card; who gets which task when is decided by the code that a run uses.
"""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass, replace

import numpy as np

from reverie.workers.schedule import Schedule

GENERATIONS = 6
CORES = (16, 64, 256, 1_000, 4_000, 10_000)
POLL_S = 0.2


@dataclass(frozen=True)
class Search:
    """A generation: population x rollouts episodes, in tasks of `shard` candidates x `episodes` each.

    row_s, step_s: seconds of one core for a step of one episode, and for a step of a task whatever its rows
    side_by_side: episodes that a task plays at once, the others after them
    steps, spread: mean length of an episode, and its standard deviation as a share of that
    parameters: of C
    """

    name: str
    row_s: float
    step_s: float
    side_by_side: int
    steps: float
    spread: float
    population: int = 64
    rollouts: int = 16
    shard: int = 1
    episodes: int = 16
    parameters: int = 1088

    @property
    def best_s(self) -> float:
        """Seconds of one core for a step where a task has as many rows as by default: 16 x 16, side by side."""
        return self.row_s + self.step_s / self.side_by_side


@dataclass(frozen=True)
class Machine:
    """The cluster. All seconds.

    send_s, take_s: of the head's one thread for a task; bytes_per_s: its network card's
    slow: the share of tasks that take `slow_times` as long; hang: the share that never ends
    node_life_s: mean life of a node of 16 cores; start_s: until a new worker on it computes
    """

    cores: int
    send_s: float = 0.3e-3
    take_s: float = 0.3e-3
    bytes_per_s: float = 1.25e9
    slow: float = 0.01
    slow_times: float = 5.0
    hang: float = 1e-5
    node_life_s: float = 1000 * 3600.0
    start_s: float = 15.0


@dataclass(frozen=True)
class Outcome:
    """Of a generation, on average: seconds in all, of CMA-ES, of a busy head; cores in use; tasks tried again."""

    seconds: float
    search_s: float
    head_s: float
    efficiency: float
    reissued: float


def search_seconds(search: Search) -> float:
    """CMA-ES's ask and tell on one thread: a part for each candidate, O(n^2), and one for the eigenvectors, O(n^3)."""
    size = (search.parameters / 1088) ** 2
    return CANDIDATE_S * search.population * size + EIGEN_S * (search.parameters / 1088) ** 3


CANDIDATE_S, EIGEN_S = 0.39e-3, 0.035  # at 1,088 parameters: 0.02, 0.4 and 1.6 s at 64, 1,024 and 4,096 candidates


def simulate(search: Search, machine: Machine, seed: int = 0) -> Outcome:
    """`GENERATIONS` generations, one after another, on a cluster that runs already."""
    rng = np.random.default_rng(seed)
    tasks = -(-search.population // search.shard) * -(-search.rollouts // search.episodes)
    now, head_s, reissued = 0.0, 0.0, 0
    send_s = machine.send_s + search.shard * search.parameters * 8 / machine.bytes_per_s
    idle = list(range(machine.cores))
    events: list[tuple[float, int, str, int]] = []  # when, to which worker, what, in which generation it began
    for generation in range(GENERATIONS):
        now += search_seconds(search)
        schedule = Schedule(tasks)
        while schedule.left:
            while idle and schedule.next(idle[-1], now) is not None:
                now, head_s = now + send_s, head_s + send_s
                seconds, fate = _fate(search, machine, rng)
                heapq.heappush(events, (now + seconds, idle.pop(), fate, generation))
            if events[0][0] > now + POLL_S and idle:
                now += POLL_S  # an idle worker asks again whether a task is slow
                continue
            when, worker, fate, began = heapq.heappop(events)
            now, head_s = max(now, when) + machine.take_s, head_s + machine.take_s
            if fate == "dies":
                heapq.heappush(events, (now + machine.start_s, worker, "starts", generation))
            else:
                idle.append(worker)
            if began == generation and fate == "ends":
                schedule.ended(worker, now)
            elif began == generation and fate == "dies":
                schedule.lost(worker, "died")
        reissued += schedule.reissued
    useful = GENERATIONS * search.population * search.rollouts * search.steps * search.best_s
    return Outcome(
        now / GENERATIONS,
        search_seconds(search),
        head_s / GENERATIONS,
        useful / (now * machine.cores),
        reissued / GENERATIONS,
    )


def _fate(search: Search, machine: Machine, rng: np.random.Generator) -> tuple[float, str]:
    """Seconds until something happens to a worker at a task, and what: it ends, or dies (or is given up as hung)."""
    count = search.shard * search.episodes
    lengths = np.full(count, search.steps)
    if search.spread:
        lengths = rng.gamma(1 / search.spread**2, search.steps * search.spread**2, count)
    longest = max(float(lengths.max()), float(lengths.sum()) / search.side_by_side)
    seconds = (float(lengths.sum()) * search.row_s + longest * search.step_s) * float(rng.lognormal(0, 0.05))
    if rng.random() < machine.slow:
        seconds *= machine.slow_times
    if rng.random() < machine.hang:
        return max(60.0, 20 * seconds), "dies"
    dies = rng.exponential(machine.node_life_s)
    return (dies, "dies") if dies < seconds else (seconds, "ends")


# seconds from docs/notebook/measurements.md: dreams at 256 and 64 rows, cars at 32 and 16 side by side
DREAM = Search("Doom's dream", row_s=8.2e-6, step_s=42e-6, side_by_side=256, steps=800, spread=0.8)
WORLD = Search("the car's world", row_s=0.70e-3, step_s=2.2e-3, side_by_side=32, steps=1000, spread=0.0, parameters=867)
SEARCHES = {
    "64 x 16, a candidate a task": lambda search, cores: search,
    "64 x 16, an episode a task": lambda search, cores: replace(search, episodes=1),
    "1,024 x 16": lambda search, cores: replace(search, population=1024, episodes=4 if cores > 4000 else 16),
    "10,240 x 16": lambda search, cores: replace(search, population=10_240),
}


def main(picture: str) -> None:
    """Print the table of docs/notebook/measurements.md and draw its figure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    print("| | cores | s a generation | CMA-ES | head busy | cores in use | again |")
    print("|---|---|---|---|---|---|---|")
    for axis, base in zip(axes, (DREAM, WORLD), strict=True):
        for (label, make), style in zip(SEARCHES.items(), ("o-", "s--", "^-", "d-."), strict=True):
            found = [simulate(make(base, cores), Machine(cores)) for cores in CORES]
            axis.plot(CORES, [outcome.efficiency for outcome in found], style, label=label, markersize=4)
            for cores, outcome in zip(CORES, found, strict=True):
                if cores in (64, 1_000, 10_000):
                    print(
                        f"| {base.name}, {label} | {cores:,} | {outcome.seconds:.3g} | {outcome.search_s:.2g} "
                        f"| {outcome.head_s:.2g} | {outcome.efficiency:.1%} | {outcome.reissued:.1f} |",
                        flush=True,
                    )
        axis.set(xscale="log", xlabel="cores", title=base.name, ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of the cores in use")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
