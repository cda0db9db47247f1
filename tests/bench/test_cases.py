"""Each kind of case once, on the least effort."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from reverie.bench import cmaes, dreams, memory, plain_rollouts, rollouts, vision
from reverie.bench.cmaes import PlainCMAES
from reverie.bench.measuring import Setting, median, processes
from reverie.bench.result import Measured, Target
from reverie.bench.run import Case, measure
from reverie.bench.startup import program_memory_mb, program_seconds
from reverie.cli import main
from reverie.errors import ReverieError
from reverie.learning.cma import CMAES
from tests.bench.test_plain_rollouts import Clock

FIELDS = {"case", "unit", "ours", "baseline", "ratio", "limit", "share", "peak_memory_mb"}


def check(measured: Measured) -> None:
    for figure in (measured.ours, measured.baseline, measured.limit, measured.peak_memory_mb):
        assert figure is not None
        assert figure > 0
    assert measured.threads


def test_dream(setting: Setting) -> None:
    found = dreams.car(setting)
    check(found)
    assert found.even == 2
    assert re.match(r"16 dreams side by side; limit: M's matrix products alone, [\d,]+ GFLOP/s", found.notes)


def test_live(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreams, "MEAN_LENGTH", 5)
    monkeypatch.setattr(dreams, "LONGEST", 20)
    check(dreams.live(setting))


def test_workers(setting: Setting) -> None:
    check(dreams.two_workers(setting))


def test_one_core_has_no_second_worker(setting: Setting) -> None:
    alone = Setting(setting.folder, workers=1)
    with pytest.raises(ReverieError, match=r"^needs two cores; this process may use 1$"):
        dreams.two_workers(alone)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny world in the place of the car, with a plain world of its own."""
    Clock.opened = []
    monkeypatch.setitem(plain_rollouts.WORLDS, "tiny", Clock)
    monkeypatch.setitem(rollouts.PLAIN_ENGINE, "tiny", "a clock")


@pytest.mark.usefixtures("tiny")
def test_played(setting: Setting) -> None:
    found = rollouts.measure_playing(setting, "tiny", max_steps=5, episodes=1, plain_steps=3)
    check(found)
    assert found.notes == "limit: the environments alone; baseline: a clock"


@pytest.mark.usefixtures("tiny")
def test_collected(setting: Setting) -> None:
    check(rollouts.measure_collecting(setting, "tiny", blocks=1, steps=200))


def test_vision_train(setting: Setting) -> None:
    found = vision.train(setting)
    check(found)
    assert re.match(r"waited for frames [\d.]+%; limit: 230 MFLOP a frame", found.notes)


def test_vision_encode(setting: Setting) -> None:
    check(vision.encode(setting))


def test_memory_train(setting: Setting) -> None:
    check(memory.train_car(setting))


def test_search(setting: Setting) -> None:
    found = cmaes.ask_and_tell(setting)
    check(found)
    assert found.limit is not None
    assert found.share == pytest.approx(found.ours / found.limit)


@pytest.mark.parametrize("make", [PlainCMAES, lambda *sizes: CMAES(*sizes, seed=0)], ids=["plain", "ours"])
def test_both_searches_search(make: type[PlainCMAES]) -> None:
    """A sphere around 1: in 120 generations both come close."""
    strategy, rng = make(10, 16, 0.5), np.random.default_rng(0)
    for _ in range(120):
        plain = isinstance(strategy, PlainCMAES)
        candidates = strategy.ask(rng) if plain else strategy.ask()  # type: ignore[call-arg]
        fitness = -np.square(candidates - 1).sum(1)
        if plain:
            strategy.tell(candidates, fitness)
        else:
            strategy.tell(fitness)  # type: ignore[call-arg, arg-type]
    assert np.abs(strategy.mean - 1).max() < 1e-3


def test_medians() -> None:
    values = iter([99.0, 3.0, 1.0, 2.0])
    assert median(lambda: next(values), 3) == 2.0  # the first only warms up
    assert processes(1) == "1 process x 1 thread"
    assert processes(2, 4) == "2 processes x 4 threads"


def test_starting() -> None:
    assert 0 < program_seconds("pass") < 60
    small, large = program_memory_mb("pass"), program_memory_mb("x = b'1' * 50_000_000; import sys; sys.exit(0)")
    assert 4 < small < 40
    assert large - small == pytest.approx(50e6 / 2**20, abs=4)


def test_a_missing_world_is_a_row(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(setting: Setting) -> Measured:
        raise ReverieError("world 'doom' needs ViZDoom, which is not installed: pip install 'reverie[doom]'")

    monkeypatch.setattr(dreams, "doom", needs)
    row = measure((Case("dream-doom", "steps/s", "dreams:doom", Target(ours=1)), setting))
    assert (row.ours, row.met) == (None, None)
    assert row.notes == "world 'doom' needs ViZDoom, which is not installed: pip install 'reverie[doom]'"


def test_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", "import", "--json"])
    assert left.value.code == 0
    printed = json.loads(capfd.readouterr().out)
    (row,) = printed["cases"]
    assert set(row) >= FIELDS | {"busy", "threads", "target", "met", "notes"}
    assert row["case"] == "import"
    assert row["limit"] < row["ours"] < row["baseline"]
    assert printed["machine"]["cores"] >= 1
