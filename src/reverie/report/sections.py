"""The report's chapters: what V, M and C learned, and how the run was made. None where data is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from markupsafe import Markup

from reverie.evaluation.calibration import LEVELS, ActionCalibration, calibrate, predict_heads
from reverie.evaluation.open_loop import STEPS, OpenLoop, predict_open_loop
from reverie.evaluation.published import published
from reverie.files.metrics import read_in_turn, read_metrics
from reverie.report import figures
from reverie.report.inputs import PhaseCurve, ReportInputs
from reverie.report.number_format import duration, number, parameter_count
from reverie.report.pictures import png, reconstructions, spread_frames, strip, traversals
from reverie.report.video import film
from reverie.vision.encode import decode_frames

if TYPE_CHECKING:
    from reverie.feature_env import Place
    from reverie.learning.phases import Phase

Section = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
Captioned = tuple[Markup, str]
Fact = tuple[str, str]  # what, figure

SEEN_FRAMES = 8
STRIP_EVERY = 5
SLOW_MOTION = 10  # frames a second of the film that sets M beside reality

METHODS = {"ppo": "PPO", "backprop": "backpropagation", "cmaes": "CMA-ES"}
FITNESS = (
    "The population's mean should keep rising, and fresh seeds should agree with it: a C that is good only on the "
    "seeds it was selected on has learned them by heart."
)
DREAMT = (
    "Mean return of the dreams that ended last, with exploration noise: the scores are taken without. Short dreams end "
    "first, so the curve begins low. Where it still rises at the end, C would gain from more updates."
)
PLAYED = "Whole episodes in the real world, with exploration noise. Where it falls at first, the dream differs from it."


def vision(inputs: ReportInputs) -> Section | None:
    """What V sees: reconstructions, traversals, its losses."""
    rows = read_metrics(inputs.vision_metrics) if inputs.vision_metrics else []
    section: Section = {"curves": _vision_curves(inputs, rows)}
    if inputs.vision is not None:
        section["parameters"] = parameter_count(inputs.vision)
        section["latents"] = inputs.vision.latent_size
        if inputs.episodes:
            frames = spread_frames([episode.frames for episode in inputs.episodes], SEEN_FRAMES)
            section["pairs"] = reconstructions(inputs.vision, frames)
            section["traversals"] = traversals(inputs.vision, frames, start=SEEN_FRAMES // 2)
    return section if section["curves"] or "pairs" in section else None


def _vision_curves(inputs: ReportInputs, rows: Rows) -> list[Captioned]:
    config = inputs.config.get("vision", {})
    floor = None
    if config.get("kl_tolerance") and config.get("latent_size"):
        nats = config["kl_tolerance"] * config["latent_size"]
        floor = (nats, f"{nats:g} free nats")
    return _captioned(
        (
            figures.loss_curve(rows, "reconstruction", "V: squared error of a frame", log=True),
            "Summed over a frame's 12,288 colour values. It should fall steeply and level off; where it still falls at "
            "the end, V would gain from longer training.",
        ),
        (
            figures.loss_curve(rows, "kl", "V: nats that a latent tells of its frame", floor=floor),
            "Below the dashed line the loss no longer presses. A curve that sinks to 0 would mean that V has given up "
            "and paints one picture for all.",
        ),
    )


def _captioned(*curves: tuple[Markup | None, str]) -> list[Captioned]:
    return [(curve, caption) for curve, caption in curves if curve is not None]


def memory(inputs: ReportInputs) -> Section | None:
    """What M expects: the filmstrip, drift, calibration, its losses."""
    rows = read_metrics(inputs.memory_metrics) if inputs.memory_metrics else []
    section: Section = {"curves": _memory_curves(inputs, rows)}
    if inputs.memory is not None:
        section["parameters"] = parameter_count(inputs.memory)
    if inputs.memory is not None and inputs.latents:
        open_loops = _open_loops(inputs)
        if open_loops and inputs.vision is not None:
            section["ahead"] = _filmstrip(inputs, max(open_loops, key=lambda one: one.variance))
        if open_loops:
            section["drift"] = figures.drift(*np.mean([one.errors() for one in open_loops], axis=0))
        section |= _calibration(inputs)
    return section if len(section) > 2 or section["curves"] else None


def _memory_curves(inputs: ReportInputs, rows: Rows) -> list[Captioned]:
    healthy = published(inputs.world.name).losses

    def curve(key: str, label: str, log: bool = True) -> Markup | None:
        return figures.loss_curve(rows, key, label, held_out=f"held_out_{key}", healthy=healthy.get(key, ()), log=log)

    return _captioned(
        (
            curve("z_nll", "M: nats for each number of the next latent", log=False),
            "1.42 is knowing nothing but the prior. Held-out episodes should follow training: a gap that widens is M "
            "learning by heart.",
        ),
        (curve("done", "M: endings"), "Cross entropy. Endings are rare, so it should fall far below where it began."),
        (
            curve("reward", "M: reward"),
            "Squared error, as a share of the rewards' mean square: at 1, M might as well say 0.",
        ),
        (
            curve("survival", "M: endings while an action is held"),
            "Cross entropy, over all stretches of time that M is asked about and the episodes tell of.",
        ),
        (curve("action", "M: the next action"), "How well M foresees what the policies of its data do next."),
    )


def _open_loops(inputs: ReportInputs) -> list[OpenLoop]:
    assert inputs.memory is not None
    actions = inputs.world.actions
    open_loops = [predict_open_loop(inputs.memory, actions, episode, i) for i, episode in enumerate(inputs.latents)]
    return [one for one in open_loops if one is not None]


def _filmstrip(inputs: ReportInputs, shown: OpenLoop) -> Section:
    assert inputs.vision is not None
    panels = [
        decode_frames(inputs.vision, torch.from_numpy(latents))
        for latents in (shown.real, shown.one_step, shown.open_loop)
    ]
    names = ("reality", "one step ahead", "dreaming on")
    return {
        "strips": [(name, png(strip(panel[::STRIP_EVERY]))) for name, panel in zip(names, panels, strict=True)],
        "steps": list(range(0, STEPS + 1, STRIP_EVERY)),
        "film": film(panels, SLOW_MOTION),
    }


def _calibration(inputs: ReportInputs) -> Section:
    assert inputs.memory is not None
    expected = predict_heads(inputs.memory, inputs.world.actions, inputs.latents)
    section: Section = {}
    reliability = expected.reliability()
    if reliability is not None:
        section["reliability"] = figures.reliability(*reliability)
    if expected.reward_hat is not None and inputs.world.reward == "predicted":
        some = np.linspace(0, len(expected.reward) - 1, min(len(expected.reward), 800)).astype(int)
        section["reward"] = figures.reward_calibration(expected.reward_hat[some], expected.reward[some])
    latents, actions = calibrate(inputs.memory, inputs.world.actions, inputs.latents)
    section["coverage"] = figures.latent_coverage(LEVELS, latents.coverage())
    section["nll"] = f"{latents.nll:.3f}"
    if actions is not None:
        section["action"] = figures.action_calibration(*actions.bins())
        section["agreement"] = _agreement(actions)
    return section


def _agreement(actions: ActionCalibration) -> str:
    """How often M foresees the next action, in words."""
    if actions.actions.choices:
        accuracy, baseline = 100 * actions.agreement(), 100 * actions.baseline()
        return f"M names {accuracy:.0f} % of the next actions; always the commonest would be {baseline:.0f} %."
    return f"M foresees {100 * actions.agreement():.0f} % of the variance of the next actions."


def controller(inputs: ReportInputs) -> Section | None:
    """How C was trained: a curve for each kind of phase, round after round; beside the published run."""
    curves, facts = list[Captioned](), list[Fact]()
    for (by_search, place), some in _by_kind(inputs.phases).items():
        rows = read_in_turn(one.metrics_path for one in some)
        if not rows:
            continue
        if by_search:
            curves += _captioned((_fitness(inputs, rows, place), FITNESS))
            facts += _search_facts(inputs, rows, place)
        else:
            caption = DREAMT if place == "dream" else PLAYED
            curves += _captioned((figures.learning_curve(rows, inputs.unit, place), caption))
            facts += _gradient_facts(rows, place)
    if not curves:
        return None
    if wall := sum(seconds for stage, seconds in inputs.seconds.items() if stage.split(",")[0] == "controller"):
        facts.append(("wall time", duration(wall)))
    return {
        "curves": curves,
        "parameters": inputs.controller_parameters,
        "how": how_trained([one.phase for one in inputs.phases]),
        "in_turn": len(inputs.phases) > 1,
        "facts": facts,
    }


def _by_kind(phases: Sequence[PhaseCurve]) -> dict[tuple[bool, Place], list[PhaseCurve]]:
    """Phases whose metrics make one curve: (whether they search by CMA-ES, where they take place)."""
    found: dict[tuple[bool, Place], list[PhaseCurve]] = {}
    for one in phases:
        found.setdefault((one.phase.method == "cmaes", one.phase.place), []).append(one)
    return found


def how_trained(phases: Sequence[Phase]) -> str:
    """The phases in the order of their first mention, as in "PPO in the dream, then CMA-ES in the world"."""
    return ", then ".join(dict.fromkeys(f"{METHODS[phase.method]} in the {phase.place}" for phase in phases))


def _fitness(inputs: ReportInputs, rows: Rows, place: Place) -> Markup | None:
    paper = published(inputs.world.name)
    return figures.fitness_curve(rows, inputs.unit, place, paper.fitness, f"paper's mean, in the {paper.fitness_where}")


def _gradient_facts(rows: Rows, place: Place) -> list[Fact]:
    last = rows[-1]
    return [
        (f"updates in the {place}", f"{last['step']:,}"),
        (f"steps in the {place} for them", f"{last[f'{place}_steps']:,}"),
    ]


def _search_facts(inputs: ReportInputs, rows: Rows, place: Place) -> list[Fact]:
    last, config = rows[-1], inputs.config.get("cmaes", {})
    facts = [(f"generations in the {place}", f"{last['step']:,}")]
    if "population" in config and "episodes" in config:
        facts.append(("candidates × episodes in each", f"{config['population']} × {config['episodes']}"))
    if f"{place}_steps" in last:
        facts.append((f"steps in the {place} for them", f"{last[f'{place}_steps']:,.0f}"))
    if "best_return_mean" in last:
        facts.append(("best C on fresh seeds", number(last["best_return_mean"])))
    if "sigma" in last:
        facts.append(("last step size σ", f"{last['sigma']:.3g}"))
    return facts


def making(inputs: ReportInputs) -> Section | None:
    """How the run was made: wall times, versions, settings."""
    if not (inputs.config or inputs.versions or inputs.seconds):
        return None
    longest = max(inputs.seconds.values(), default=1.0) or 1.0
    return {
        "stages": [(name, duration(s), 100 * s / longest) for name, s in inputs.seconds.items()],
        "versions": inputs.versions,
        "seed": inputs.config.get("seed"),
        "preset": inputs.config.get("preset"),
        "config": json.dumps(inputs.config, indent=2) if inputs.config else None,
    }
