"""The report's chapters: what V, M and C learned, and how the run was made. None where data is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from reverie.evaluation.calibration import LEVELS, ActionCalibration, calibrate
from reverie.evaluation.foresight import STEPS, Foresight, forecast, look_ahead
from reverie.evaluation.published import published
from reverie.files.metrics import read_in_turn, read_metrics
from reverie.report import figures
from reverie.report.inputs import ReportInputs
from reverie.report.pictures import png, reconstructions, spread_frames, strip, traversals
from reverie.report.video import film
from reverie.report.wording import duration, number, parameter_count
from reverie.vision.encode import decode_frames

Section = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
Captioned = tuple[Markup, str]

SEEN_FRAMES = 8
STRIP_EVERY = 5
SLOW_MOTION = 10  # frames a second of the film that sets M beside reality


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
        seen = _foresights(inputs)
        if seen and inputs.vision is not None:
            section["ahead"] = _filmstrip(inputs, max(seen, key=lambda one: one.liveliness))
        if seen:
            section["drift"] = figures.drift(*np.mean([one.errors() for one in seen], axis=0))
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
            curve("outlook", "M: endings while an action is held"),
            "Cross entropy, over all stretches of time that M is asked about and the episodes tell of.",
        ),
        (curve("action", "M: the next action"), "How well M foresees what the policies of its data do next."),
    )


def _foresights(inputs: ReportInputs) -> list[Foresight]:
    assert inputs.memory is not None
    actions = inputs.world.actions
    seen = [look_ahead(inputs.memory, actions, episode, i) for i, episode in enumerate(inputs.latents)]
    return [one for one in seen if one is not None]


def _filmstrip(inputs: ReportInputs, seen: Foresight) -> Section:
    assert inputs.vision is not None
    panels = [
        decode_frames(inputs.vision, torch.from_numpy(latents)) for latents in (seen.real, seen.one_step, seen.free)
    ]
    names = ("reality", "one step ahead", "dreaming on")
    return {
        "strips": [(name, png(strip(panel[::STRIP_EVERY]))) for name, panel in zip(names, panels, strict=True)],
        "steps": list(range(0, STEPS + 1, STRIP_EVERY)),
        "film": film(panels, SLOW_MOTION),
    }


def _calibration(inputs: ReportInputs) -> Section:
    assert inputs.memory is not None
    expected = forecast(inputs.memory, inputs.world.actions, inputs.latents)
    section: Section = {}
    reliability = expected.reliability()
    if reliability is not None:
        section["reliability"] = figures.reliability(*reliability)
    if expected.reward_hat is not None and inputs.world.reward == "predicted":
        some = np.linspace(0, len(expected.reward) - 1, min(len(expected.reward), 800)).astype(int)
        section["reward"] = figures.reward_calibration(expected.reward_hat[some], expected.reward[some])
    latents, actions = calibrate(inputs.memory, inputs.world.actions, inputs.latents)
    section["coverage"] = figures.latent_coverage(LEVELS, latents.held())
    section["nll"] = f"{latents.nll:.3f}"
    if actions is not None:
        section["action"] = figures.action_calibration(*actions.bins())
        section["agreement"] = _agreement(actions)
    return section


def _agreement(actions: ActionCalibration) -> str:
    """How often M foresees the next action, in words."""
    if actions.kind in ("discrete", "three-way"):
        said, least = 100 * actions.agreement(), 100 * actions.baseline()
        return f"M names {said:.0f} % of the next actions; always the commonest would be {least:.0f} %."
    return f"M foresees {100 * actions.agreement():.0f} % of the variance of the next actions."


def controller(inputs: ReportInputs) -> Section | None:
    """How C learned by gradients and how it evolved, as far as it did, its rounds in turn; beside the published run."""
    settled = [inputs.settle_metrics] if inputs.settle_metrics else []
    evolved, learned = map(read_in_turn, (inputs.controller_metrics, [*inputs.gradient_metrics, *settled]))
    paper = published(inputs.world.name)
    label = f"paper's mean, in the {paper.fitness_where}"
    curve = figures.fitness_curve(evolved, inputs.unit, inputs.evolved_in, paper.fitness, label)
    learning = figures.learning_curve(learned, inputs.unit)
    tuned = read_in_turn([inputs.finetune_metrics] if inputs.finetune_metrics else [])
    tuning = figures.finetuning_curve(tuned, inputs.unit)
    if curve is None and learning is None and tuning is None:
        return None
    facts = [*_gradient_facts(learned), *_finetune_facts(tuned), *_evolution_facts(inputs, evolved)]
    turns = 1 + max(row["turn"] for row in (*learned, *tuned, *evolved))  # a settling is one, and no round
    counts = len(inputs.gradient_metrics), len(inputs.controller_metrics)
    if wall := sum(seconds for stage, seconds in inputs.seconds.items() if stage.split(",")[0] == "controller"):
        facts.append(("wall time", duration(wall)))
    return {
        "curve": curve,
        "learning": learning,
        "tuning": tuning,
        "where": inputs.evolved_in,
        "parameters": inputs.controller_parameters,
        "rounds": min(turns, max(1, *counts)),
        "settled": any(row["turn"] == len(inputs.gradient_metrics) for row in learned),
        "alone": not evolved and _generations(inputs.config) == 0,
        "facts": facts,
    }


def _generations(config: Mapping[str, Any]) -> int | None:
    """For how many generations C is to be evolved, in all rounds; None where the settings do not say."""
    rounds = config.get("rounds", {})
    later = rounds.get("count", 0) * rounds.get("generations", 0)
    first = config.get("evolution", {}).get("generations")
    return None if first is None else int(first + later)


def _gradient_facts(learned: Rows) -> list[tuple[str, str]]:
    """(what, figure) about all that was learned by gradients."""
    if not learned:
        return []
    last = learned[-1]
    return [("updates by gradients", f"{last['step']:,}"), ("steps dreamt for them", f"{last['dream_steps']:,}")]


def _finetune_facts(tuned: Rows) -> list[tuple[str, str]]:
    """(what, figure) about the fine-tuning in the real world."""
    if not tuned:
        return []
    last = tuned[-1]
    return [("updates in the real world", f"{last['step']:,}"), ("real steps for them", f"{last['world_steps']:,}")]


def _evolution_facts(inputs: ReportInputs, evolved: Rows) -> list[tuple[str, str]]:
    """(what, figure) about the whole evolution."""
    last = evolved[-1] if evolved else {}
    config = inputs.config.get("evolution", {}) if last else {}
    facts = [("generations", f"{last['step']:,}")] if last else []
    if "population" in config and "rollouts" in config:
        facts.append(("candidates × episodes in each", f"{config['population']} × {config['rollouts']}"))
    if f"{inputs.evolved_in}_steps" in last:
        facts.append((f"steps in the {inputs.evolved_in}", f"{last[f'{inputs.evolved_in}_steps']:,.0f}"))
    if "rescored" in last:
        facts.append(("best agent on fresh seeds", number(last["rescored"])))
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
