"""From the words of a run to its experiment: a preset's, or as large as a budget of minutes or real steps says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.cli import words as w
    from reverie.cost.estimate import Estimate
    from reverie.cost.rates import Rates
    from reverie.learning.phases import Phase
    from reverie.recipe.experiment import Experiment
    from reverie.runs.plans import Plan, Unit

DEFAULT_PRESET = "quick"
TYPICAL_STEPS = 40_000  # of the experiment that is measured before its size is known
LONGEST_MINUTES = 100_000
UNMEASURED = ("tiny",)  # presets that are over before a measurement would be


@dataclass(frozen=True)
class PlannedRun:
    """What `run` is to do. left: what it has still to do from a stage of a round on, in words; None: nobody knows."""

    experiment: Experiment
    folder: Path
    left: Callable[[int, str], str] | None = None


def plan_run(words: w.Run, settings: list[str], workers: int | str) -> PlannedRun:
    """The run that the words ask for; says in a line what it will take, where it is a new one."""
    folder = words.run_dir or _folder_of(words)
    budget = _budget(words)
    if budget is not None:
        return _budgeted_run(words, settings, workers, folder, *budget)
    return _preset_run(words, settings, workers, folder)


def would_take(words: w.Run, settings: list[str], workers: int | str) -> Estimate:
    """What the run would take, were it a new one."""
    from reverie.cost.estimate import estimate
    from reverie.cost.rates import measure

    budget = _budget(words)
    if budget is not None:
        return _new_plan(words, settings, workers, *budget)[1]
    experiment = new_experiment(words, settings)
    return estimate(experiment, measure(experiment, workers, words.device))


def _preset_run(words: w.Run, settings: list[str], workers: int | str, folder: Path) -> PlannedRun:
    from reverie.cost.countdown import Countdown
    from reverie.cost.estimate import estimate
    from reverie.cost.rates import BRIEF_SECONDS, measure
    from reverie.progress import announce, is_quiet
    from reverie.runs.run_folder import CONFIG, require_free

    experiment = new_experiment(words, settings)
    if experiment.preset in UNMEASURED or is_quiet() or (folder / CONFIG).exists():
        return PlannedRun(experiment, folder)
    require_free(folder)
    expected = estimate(experiment, measure(experiment, workers, words.device, BRIEF_SECONDS))
    announce(f"{words.world}: {expected.line()}")
    return PlannedRun(experiment, folder, Countdown(expected).before)


def _budgeted_run(
    words: w.Run, settings: list[str], workers: int | str, folder: Path, unit: Unit, amount: float
) -> PlannedRun:
    """A new run of that size, or the one in the folder, with more rounds where the budget has grown."""
    from reverie.cost.countdown import Countdown
    from reverie.cost.estimate import estimate
    from reverie.progress import announce
    from reverie.runs.plans import read_plan, write_plan
    from reverie.runs.run_folder import CONFIG, open_run, require_free

    if (folder / CONFIG).exists():
        plan, run = read_plan(folder), open_run(folder)
        if plan is None:
            raise ReverieError(
                f"{folder} was made without a budget; leave out --{unit}, or choose another run folder by --run-dir"
            )
        longer = plan.extended(unit, amount, run)
        experiment = _of_plan(words, settings, longer)
        if longer != plan:
            with run.locked():
                write_plan(folder, longer)
            announce(f"{words.world}: {longer.rounds - plan.rounds} rounds more")
        expected, spent = estimate(experiment, _rates(longer, folder)), run.timings
    else:
        require_free(folder)
        plan, expected = _new_plan(words, settings, workers, unit, amount)
        experiment = _of_plan(words, settings, plan)
        write_plan(folder, plan)
        announce(f"{words.world}: {expected.line()}")
        spent = {}
    return PlannedRun(experiment, folder, Countdown(expected, spent).before)


def _new_plan(
    words: w.Run, settings: list[str], workers: int | str, unit: Unit, amount: float
) -> tuple[Plan, Estimate]:
    """What the budget comes to on this machine."""
    from reverie.cost.estimate import estimate, seconds_of_round
    from reverie.cost.fit import largest_budget
    from reverie.cost.rates import measure
    from reverie.recipe.budgeted import nearest_preset
    from reverie.runs.plans import Plan

    real_steps = int(amount)
    if unit == "minutes":
        preset = words.preset or DEFAULT_PRESET
        rates = measure(_sized(words, settings, TYPICAL_STEPS, preset), workers, words.device)
        left = 60 * amount - rates.seconds
        real_steps, expected = largest_budget(left, lambda steps: _sized(words, settings, steps, preset), rates)
    else:
        preset = words.preset or nearest_preset(words.world, real_steps)
        experiment = _sized(words, settings, real_steps, preset)
        _require_countable(experiment)
        rates = measure(experiment, workers, words.device)
        expected = estimate(experiment, rates)
    plan = Plan(
        unit=unit,
        amount=amount,
        preset=preset,
        real_steps=real_steps,
        rounds=expected.rounds,
        round_seconds=seconds_of_round(_sized(words, settings, real_steps, preset), rates),
        rates=rates.as_dict(),
    )
    return plan, expected


def _rates(plan: Plan, folder: Path) -> Rates:
    from reverie.cost.rates import Rates
    from reverie.errors import DamagedFileError
    from reverie.runs.plans import REMEDY
    from reverie.runs.run_folder import PLAN

    try:
        return Rates.from_dict(plan.rates)
    except (KeyError, TypeError):
        raise DamagedFileError(f"{folder / PLAN} holds no rates; {REMEDY}") from None


def _of_plan(words: w.Run, settings: list[str], plan: Plan) -> Experiment:
    """The experiment that a plan is of, with its rounds."""
    experiment = _sized(words, settings, plan.real_steps, plan.preset)
    experiment = replace(experiment, rounds=replace(experiment.rounds, count=plan.rounds))
    return _begun_elsewhere(words, experiment)


def _sized(words: w.Run, settings: list[str], real_steps: int, preset: str) -> Experiment:
    return experiment_of(replace(words, preset=preset), settings, real_steps)


def _budget(words: w.Run) -> tuple[Unit, float] | None:
    """The budget that the words name, where they name one."""
    if words.minutes is not None and words.real_steps is not None:
        raise ReverieError("--minutes and --real-steps are both given; one of them says how large the run is")
    if words.minutes is None and words.real_steps is None:
        return None
    if words.data is not None:
        raise ReverieError("--data says how many real steps there are; leave out --minutes and --real-steps")
    if words.minutes is not None:
        if not 0 < words.minutes < LONGEST_MINUTES:
            raise ReverieError(f"--minutes is {words.minutes:g}; expected above 0, below {LONGEST_MINUTES:,}")
        return "minutes", words.minutes
    assert words.real_steps is not None
    return "real-steps", words.real_steps


def _require_countable(experiment: Experiment) -> None:
    """Refuse a budget of real steps where C itself takes as many as its episodes last."""
    from reverie.learning.phases import any_in_dream

    awake = [phase.word() for phase in experiment.phases if not any_in_dream([phase])]
    if awake:
        raise ReverieError(
            f"phase {awake[0]!r} plays whole episodes in the world, so its real steps cannot be planned; give "
            "--minutes, or --phases in the dream alone"
        )


def experiment_of(words: w.Run | w.Stage, settings: list[str], real_steps: int | None = None) -> Experiment:
    """The preset's experiment, or that of so many real steps, with the settings that were given."""
    from reverie.recipe.budgeted import budgeted
    from reverie.recipe.presets import make_experiment
    from reverie.settings import only, with_changes

    assert words.world is not None
    preset, seed = words.preset or DEFAULT_PRESET, words.seed or 0

    def make(phases: tuple[Phase, ...] | None) -> Experiment:
        assert words.world is not None
        if real_steps is not None:
            return budgeted(words.world, real_steps, preset, seed=seed, phases=phases)
        return make_experiment(words.world, preset, seed=seed, phases=phases)

    experiment = make(None)
    if any(word.split("=")[0] == "--phases" for word in settings):  # they decide what M must predict too
        experiment = make(with_changes(experiment, only(settings, "phases")).phases)
    return with_changes(experiment, settings)


def new_experiment(words: w.Run | w.Stage, settings: list[str]) -> Experiment:
    """The experiment of the words, at the weights that it is to begin at."""
    return _begun_elsewhere(words, experiment_of(words, settings))


def _begun_elsewhere(words: w.Run | w.Stage, experiment: Experiment) -> Experiment:
    """The experiment with the data and the weights that the words name."""
    from reverie.runs.starting import learning_from, starting_from

    data = getattr(words, "data", None)  # a stage has no such word
    if data is not None:
        experiment = learning_from(experiment, data)
    return experiment if words.from_ is None else starting_from(experiment, words.from_)


def _folder_of(words: w.Run) -> Path:
    """The run folder where none is given."""
    budget = _budget(words)
    size = words.preset or DEFAULT_PRESET if budget is None else budget[0]
    name = f"{words.world}-{size}" + (f"-from-{Path(words.from_).name}" if words.from_ else "")
    name += f"-on-{words.data}" if words.data else ""
    return Path("runs") / re.sub(r"[^A-Za-z0-9.-]+", "-", name)
