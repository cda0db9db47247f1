"""The report's first page: the run in a sentence, its scores, the agent on film. None where data is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.evaluation.published import published
from reverie.evaluation.score import Score
from reverie.report import figures
from reverie.report.inputs import ReportInputs
from reverie.report.number_format import duration, mean_std, number, real_steps_label
from reverie.report.recording import MOST_STEPS, Recording, RoundFilm
from reverie.report.video import film, prolonged

Section = dict[str, Any]

MOST_FILM_FRAMES = 2100  # a minute of Doom; longer episodes are cut


def verdict(inputs: ReportInputs) -> str:
    """The run in one sentence."""
    agent, random = inputs.agent, inputs.random
    if agent is None:
        return "This run has not been scored yet; below is what it has learned so far."
    survival = inputs.world.reward == "survival"
    text = f"The agent {'survives' if survival else 'scores'} {number(agent.mean)}{' steps' if survival else ''}"
    if random is None:
        return f"{text} on average, over {agent.episodes} episodes that it never trained on."
    beside = f"random play {number(random.mean)}"
    if agent.mean <= random.mean:
        return f"{text} on average, {beside}: this agent is no better than chance."
    ratio = agent.mean / random.mean if random.mean > 0 else 0
    times = f": {ratio:.1f} times as {'long' if survival else 'much'}" if ratio >= 1.05 else ""
    return f"{text} on average, {beside}{times}."


def tiles(inputs: ReportInputs) -> list[tuple[str, str, str]]:
    """The figures at the top: (what, figure, colour class)."""
    places = [("awake, in the real world", inputs.agent, "real"), ("asleep, in its dream", inputs.dream, "dream")]
    shown = [(label, mean_std(score), kind) for label, score, kind in places if score is not None]
    if inputs.random is not None:
        shown.append(("random play", mean_std(inputs.random), "random"))
    start_from = inputs.config.get("start_from")
    if inputs.real_steps is not None:
        shown.append((real_steps_label(start_from), f"{inputs.real_steps:,}", ""))
    if inputs.seconds:
        since = "nothing" if start_from is None else "those weights"
        shown.append((f"from {since} to here", duration(sum(inputs.seconds.values())), ""))
    return shown


def films(inputs: ReportInputs) -> Section | None:
    """The agent awake, with V's reconstruction beside, and asleep."""
    pace = published(inputs.world.name).frames_per_second
    sections = {
        name: _film(recording, pace, inputs.unit)
        for name, recording in (("awake", inputs.awake), ("asleep", inputs.asleep))
        if recording is not None
    }
    return sections or None


def _film(recording: Recording, pace: int, unit: str) -> Section:
    panels = [recording.frames] if recording.reconstructed is None else [recording.frames, recording.reconstructed]
    length = min(len(recording.frames), MOST_FILM_FRAMES)
    actions = np.concatenate([recording.actions, recording.actions[-1:]])[:length]
    return {
        "film": film([panel[:length] for panel in panels], pace, actions),
        "recording": recording,
        "length": _length(recording, unit),
        "cut": length if length < len(recording.frames) else None,
        "tracks": "track below shows its action"
        if recording.actions.shape[1] == 1
        else "tracks below show its actions",
    }


def _length(recording: Recording, unit: str) -> str:
    if unit == "steps survived":
        return f"{recording.total:,.0f} {unit}"  # of the game: an action can last several
    return f"{len(recording.actions):,} steps, {number(recording.total)} {unit}"


def scores(inputs: ReportInputs) -> Section | None:
    """The table and the histograms, the paper's figures beside them."""
    labelled = {
        label: score
        for label, score in (
            ("agent, awake", inputs.agent),
            ("agent, asleep", inputs.dream),
            *inputs.baselines.items(),
            ("random play", inputs.random),
        )
        if score is not None
    }
    if not labelled:
        return None
    paper = published(inputs.world.name)
    printed = [("the paper's agent", paper.agent), ("the paper's random play", paper.random)]
    return {
        "rows": [_row(label, score) for label, score in labelled.items()],
        "paper": [(label, str(figure), paper.note) for label, figure in printed if figure is not None],
        "histogram": figures.score_histograms(labelled, inputs.unit),
        "unit": inputs.unit,
    }


def _row(label: str, score: Score) -> Section:
    place = "real world" if score.where == "world" else "dream"
    return {
        "label": label,
        "kind": {figures.DREAM: "dream", figures.REAL: "real"}.get(figures.colour_of(label, score), "random"),
        "where": place if score.temperature is None else f"{place}, τ {score.temperature:g}",
        "mean": number(score.mean),
        "std": number(score.std),
        "min": number(score.min),
        "max": number(score.max),
        "episodes": score.episodes,
    }


def rounds(inputs: ReportInputs) -> dict[str, Any] | None:
    """The film with what stands above each of its panels; None for a run without rounds to compare."""
    shown = inputs.rounds
    if len(shown) < 2:
        return None
    length = max(len(one.frames) for one in shown)
    pace = published(inputs.world.name).frames_per_second
    return {
        "film": film([prolonged(one.frames, length) for one in shown], pace),
        "panels": [_panel(one, inputs.unit) for one in shown],
        "skipped": shown[-1].number + 1 > len(shown),
        "cut": MOST_STEPS if any(one.cut for one in shown) else None,
    }


def _panel(one: RoundFilm, unit: str) -> dict[str, str]:
    """The text above a round's panel."""
    steps = len(one.frames) - 1
    here = f"{one.total:,.0f} steps" if unit == "steps survived" else f"{steps:,} steps, {number(one.total)} {unit}"
    return {
        "round": f"round {one.number}",
        "steps": f"{one.real_steps:,} real steps",
        "score": "not scored yet" if one.score is None else mean_std(one.score),
        "here": f"here {'over ' if one.cut else ''}{here}",
    }
