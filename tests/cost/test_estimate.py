"""What a run takes, from given rates: the estimate, the largest budget that fits, the countdown."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from reverie.cost.countdown import Countdown
from reverie.cost.estimate import Estimate, Stage, estimate, minutes_in_words, seconds_of_round
from reverie.cost.fit import largest_budget
from reverie.cost.rates import Play, Rates, Training
from reverie.errors import ReverieError
from reverie.recipe.budget import BUDGETS
from reverie.recipe.budgeted import budgeted
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment

RATES = Rates(
    workers=2,
    play=Play(start=2.0, step=0.001),
    act=Play(start=3.0, step=0.004),
    length=25.0,
    cap=400,
    frame_bytes=500.0,
    vision=Training(start=1.0, update=0.05, save=0.1, bytes=1000),
    encode=0.0002,
    memory=Training(start=1.0, update=0.1, save=0.1, bytes=2000),
    phases=(Training(1.0, 0.5, 0.1, 300), Training(1.0, 0.5, 0.1, 300)),
    peak_mb=1024.0,
    seconds=20.0,
)


def seconds_of(found: Estimate, name: str, number: int) -> float:
    (seconds,) = (stage.seconds for stage in found.stages if (stage.name, stage.round) == (name, number))
    return seconds


def test_stages_take_what_they_do_at_the_rates() -> None:
    budget, quick = BUDGETS["quick"], estimate(make_experiment("climb", "quick"), RATES)
    assert quick.real_steps == 44_000
    assert seconds_of(quick, "collect", 0) == pytest.approx(2 + 20_000 * 0.001)
    assert seconds_of(quick, "collect", 2) == pytest.approx(3 + 8000 * 0.004)
    assert seconds_of(quick, "vision", 0) == pytest.approx(1 + budget.vision * 0.05 + 19 * 0.1)  # twenty checkpoints
    assert seconds_of(quick, "encode", 3) == pytest.approx(8000 * 0.0002)
    assert seconds_of(quick, "memory", 1) == pytest.approx(1 + budget.round_memory * 0.1 + 19 * 0.1)
    assert seconds_of(quick, "controller", 0) == pytest.approx(1 + budget.controller * 0.5 + 9 * 0.1)
    length = (25 * 400) ** 0.5  # of an episode of C's: the geometric mean
    assert seconds_of(quick, "evaluate", 0) == pytest.approx(3 + 20 * length * (0.004 + 0.0002))
    assert quick.seconds == pytest.approx(4 + sum(stage.seconds for stage in quick.stages))
    assert quick.bytes == pytest.approx(2e6 + 44_000 * (500 + 4 * 32 + 4 + 8) + 2 * 1000 + 8 * 2000 + 8 * 300, rel=0.01)


def test_a_small_budget_is_expected_to_play_as_random_play_does() -> None:
    tiny = estimate(make_experiment("climb", "tiny"), RATES)
    assert seconds_of(tiny, "evaluate", 0) == pytest.approx(3 + 20 * 25 * (0.004 + 0.0002), rel=0.05)


def test_phases_in_the_world_are_played() -> None:
    car = make_experiment("carracing", "quick")
    found = estimate(car, replace(RATES, phases=(None,), length=1000.0, cap=1000))
    episodes = 30 * (32 * 2 + 5 * 16 / 10)
    assert found.real_steps == pytest.approx(200 * 500 + episodes * 400)
    assert seconds_of(found, "controller", 0) == pytest.approx(3 + episodes * 400 * 0.004)


def test_the_same_as_json_and_in_a_line() -> None:
    found = Estimate("tiny", "quick", 44_000, 3, (Stage(0, "collect", 596.0, 5e6), Stage(0, "memory", 300.0)), 2048.0)
    assert json.loads(json.dumps(found.as_dict()))["minutes"] == 15.0
    assert found.line() == ("about 15 min, 5 MB of disk and 2.0 GiB of memory, for 44,000 real steps in 4 rounds")
    assert "collect" in found.table()
    assert [minutes_in_words(seconds) for seconds in (40, 300, 12_000)] == ["40 s", "5 min", "3 h 20 min"]


def make(steps: int) -> Experiment:
    return budgeted("climb", steps, "quick")


@pytest.mark.parametrize("seconds", [120.0, 600.0, 7200.0])
def test_the_largest_budget_fits_and_the_next_does_not(seconds: float) -> None:
    steps, found = largest_budget(seconds, make, RATES)
    assert found == estimate(make(steps), RATES)
    assert found.seconds <= seconds
    next_one = int(str(steps)[:2]) + 1
    assert estimate(make(next_one * 10 ** (len(str(steps)) - 2)), RATES).seconds > seconds


def test_too_few_minutes_get_a_line() -> None:
    with pytest.raises(ReverieError, match=r"^measuring took 20 s, and the smallest run takes \d+ s; give --minutes 2"):
        largest_budget(3.0, make, RATES)


def test_a_round_more_takes_as_long_as_another() -> None:
    experiment = make_experiment("climb", "quick")
    longer = replace(experiment, rounds=replace(experiment.rounds, count=4))
    more = estimate(longer, RATES).seconds - estimate(experiment, RATES).seconds
    assert seconds_of_round(experiment, RATES) == pytest.approx(more, rel=1e-6)


def test_rates_come_back_from_json() -> None:
    rates = replace(RATES, phases=(None, RATES.memory))
    assert Rates.from_dict(json.loads(json.dumps(rates.as_dict()))) == rates


@pytest.fixture
def expected() -> Estimate:
    names = ("collect", "vision", "encode", "memory")
    return Estimate("tiny", "quick", 1, 0, tuple(Stage(0, name, 100.0) for name in names), 1.0)


def test_what_is_left_follows_the_pace_so_far(expected: Estimate, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    countdown = Countdown(expected)
    assert countdown.before(0, "collect") == "about 7 min left"
    now += 200  # twice as long as expected
    assert countdown.before(0, "vision") == f"about {minutes_in_words(300 * 230 / 130)} left"


def test_what_earlier_sessions_did_is_not_left(expected: Estimate) -> None:
    countdown = Countdown(expected, {"collect": 30.0, "vision": 90.0, "encode": 60.0})
    assert countdown.before(0, "collect") == f"about {minutes_in_words(50 + 100)} left"
