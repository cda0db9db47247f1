"""Figures as a reader wants them."""

from __future__ import annotations

from typing import Any

from reverie.evaluation.score import Score


def parameter_count(module: Any) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def duration(seconds: float) -> str:
    """Seconds for a reader: 42 s, 12 min 5 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def mean_std(score: Score) -> str:
    return f"{number(score.mean)} ± {number(score.std)}"


def number(value: float) -> str:
    """Whole from 100 on and where it is whole anyway, else one decimal; with a true minus sign."""
    whole = abs(value) >= 100 or value == round(value)
    return (f"{value:,.0f}" if whole else f"{value:,.1f}").replace("-", "−")


def real_steps_label(start_from: str | None) -> str:
    """What to call the real steps of a run that began at the weights of `start_from` (None: at random ones)."""
    return "real steps learned from" if start_from is None else "real steps after the given weights"
