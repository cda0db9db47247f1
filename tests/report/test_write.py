from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.learning.phases import Phase
from reverie.report.inputs import PhaseCurve, ReportInputs
from reverie.report.recording import Recording
from reverie.report.write import render, write_report
from reverie.worlds.registry import world_spec
from tests.evaluation.parts import TINY, make_episode, make_latents, make_memory, make_score, make_vision, write_metrics

VOID = {"meta", "link", "img", "br"}
NOWHERE = Path("/nowhere/metrics.jsonl")


class Page(HTMLParser):
    """Collects tags with their attributes, checks that they are closed in order, and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str | None]:
        return [section.get("id") for section in self.all("section")]


def make_recording(where: Any, steps: int) -> Recording:
    frames = make_episode(steps).frames
    seen = frames if where == "world" else None
    temperature = None if where == "world" else 1.15
    return Recording(where, temperature, frames, seen, np.zeros((steps, 1), np.float32), 3.0, True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tmp_path = tmp_path_factory.mktemp("run")
    steps = [20, 40, 60]
    vision = [{"step": s, "loss": 9.0, "reconstruction": 9.0 / s, "kl": 5.0} for s in steps]
    memory = [{"step": s, "z_nll": 1.3, "done": 0.1, "reward": 0.5, "held_out_z_nll": 1.4} for s in steps]
    controller = [
        {
            "step": s,
            "fitness_mean": s,
            "fitness_min": 0,
            "fitness_max": 90,
            "best_return_mean": 50,
            "sigma": 0.1,
            "dream_steps": 9,
        }
        for s in steps
    ]
    search = PhaseCurve(1, Phase("cmaes", "dream", 60), 0, write_metrics(tmp_path / "controller.jsonl", controller))
    return {
        "agent": make_score(40),
        "dream": make_score(60, "dream", 1.15),
        "random": make_score(20),
        "baselines": {"blind sweep": make_score(30)},
        "vision": make_vision(),
        "memory": make_memory(),
        "episodes": [make_episode(20)],
        "latents": [make_latents(90, seed) for seed in range(3)],
        "awake": make_recording("world", 12),
        "asleep": make_recording("dream", 9),
        "vision_metrics": write_metrics(tmp_path / "vision.jsonl", vision),
        "memory_metrics": write_metrics(tmp_path / "memory.jsonl", memory),
        "phases": [search],
        "controller_parameters": 1088,
        "config": {"preset": "tiny", "seed": 3, "vision": {"kl_tolerance": 0.5, "latent_size": 8}},
        "versions": {"reverie": "0.1.0", "torch": "2.13.0"},
        "seconds": {"collect": 3.0, "vision": 65.0, "controller": 9.0},
        "real_steps": 12_345,
    }


@pytest.fixture(scope="module")
def html(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    path = write_report(ReportInputs(TINY, **inputs), folder / "report.html")
    assert list(folder.iterdir()) == [path]
    return path.read_text()


ALL = ["scores", "vision", "memory", "controller", "making"]


def test_a_whole_runs_report_is_one_file_that_asks_nothing_of_the_network(html: str) -> None:
    page = Page(html)
    assert page.sections == ALL
    for tag in ("img", "video", "link", "script", "source", "iframe"):
        for attributes in page.all(tag):
            for name in ("src", "href"):
                assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.findall(r"https?://|@import|url\((?!#)", html)
    assert all(image.get("alt") for image in page.all("img"))
    assert all(video.get("aria-label") for video in page.all("video"))
    assert all(chart.get("aria-label") for chart in page.all("svg"))
    assert len(page.all("video")) == 3
    assert len(page.all("svg")) == 1 + 2 + 4 + 3 + 1  # scores; V; drift, latents, endings, reward; M's losses; C
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_picture_has_a_caption_that_says_what_to_look_for(html: str) -> None:
    page = Page(html)
    assert len(page.all("figure")) == len(page.all("figcaption"))


def test_the_figures_of_the_run_are_on_the_page(html: str) -> None:
    text = Page(html).text
    for words in ("1,088 parameters", "12,345", "1 min 17 s", "blind sweep", "root seed 3", "2.13.0", "dream, τ 1.15"):
        assert words in re.sub(r"\s+", " ", text)


WITHOUT: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], list[str]]] = {
    "nothing at all": (lambda _: {}, []),
    "stopped after collecting": (lambda all_: _only(all_, "episodes", "config", "seconds"), ["making"]),
    "stopped after V": (
        lambda all_: _only(all_, "vision", "episodes", "vision_metrics", "config"),
        ["vision", "making"],
    ),
    "V's files alone": (lambda all_: _only(all_, "vision_metrics"), ["vision"]),
    "stopped after M": (
        lambda all_: _only(all_, "vision", "memory", "episodes", "latents", "vision_metrics", "memory_metrics"),
        ["vision", "memory"],
    ),
    "M without V": (lambda all_: _only(all_, "memory", "latents"), ["memory"]),
    "episodes too short to look ahead": (
        lambda all_: _only(all_, "vision", "memory") | {"latents": [make_latents(4)]},
        ["memory"],
    ),
    "C from z alone": (
        lambda all_: all_ | {"memory": None, "memory_metrics": None, "asleep": None},
        ["scores", "vision", "controller", "making"],
    ),
    "not filmed awake": (lambda all_: _only(all_, "agent", "asleep", "seconds"), ["scores", "making"]),
    "without a random baseline": (lambda all_: _only(all_, "agent", "awake", "vision"), ["scores"]),
    "only baselines": (lambda all_: _only(all_, "baselines"), ["scores"]),
    "metrics files that are not there": (
        lambda all_: {
            **{key: NOWHERE for key in all_ if key.endswith("_metrics")},
            "phases": [PhaseCurve(1, Phase("ppo", "world", 9), 0, NOWHERE)],
        },
        [],
    ),
}


def _only(all_: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: all_[name] for name in names}


@pytest.mark.parametrize("case", WITHOUT)
def test_a_run_stopped_anywhere_has_a_report(case: str, inputs: dict[str, Any]) -> None:
    choose, sections = WITHOUT[case]
    page = Page(render(ReportInputs(TINY, **choose(inputs))))
    assert page.sections == sections
    assert "Undefined" not in page.text
    assert "None" not in page.text


@pytest.mark.parametrize(
    ("world", "words"), [("doom", "ViZDoom of 2018"), ("carracing", "CarRacing-v0, whose rules differ from v3")]
)
def test_the_papers_figures_stand_beside_its_worlds(world: str, words: str, inputs: dict[str, Any]) -> None:
    text = Page(render(ReportInputs(world_spec(world), **_only(inputs, "agent", "random")))).text
    assert words in text


def test_what_a_world_is_called_cannot_break_the_page() -> None:
    from dataclasses import replace

    html = render(ReportInputs(replace(TINY, name="<script>alert(1)</script>")))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_same_run_has_the_same_report(inputs: dict[str, Any], html: str) -> None:
    assert render(ReportInputs(TINY, **inputs)) == html


def test_a_folder_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReverieError, match=r"cannot write report\.html"):
        write_report(ReportInputs(TINY), tmp_path / "file" / "report.html")
