"""The report: a run as one HTML file that needs no server, no network and no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import reverie
from reverie.evaluation.published import published
from reverie.files.atomic import write_bytes
from reverie.report import overview, sections
from reverie.report.inputs import ReportInputs

TEMPLATE = "report.html.j2"


def write_report(inputs: ReportInputs, path: Path) -> Path:
    """Write the report to `path` and return it; sections whose data is missing are left out."""
    write_bytes(path, render(inputs).encode())
    return path


def render(inputs: ReportInputs) -> str:
    """The report as HTML."""
    return fill(
        TEMPLATE,
        title=published(inputs.world.name).title,
        latents=inputs.vision.latent_size if inputs.vision is not None else "a few",
        verdict=overview.verdict(inputs),
        tiles=overview.tiles(inputs),
        films=overview.films(inputs),
        scores=overview.scores(inputs),
        rounds=overview.rounds(inputs),
        vision=sections.vision(inputs),
        memory=sections.memory(inputs),
        controller=sections.controller(inputs),
        making=sections.making(inputs),
    )


def fill(template: str, **values: Any) -> str:
    """One of the page templates of this room as HTML; every value that it names must be given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reverie.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=reverie.__version__, **values)
