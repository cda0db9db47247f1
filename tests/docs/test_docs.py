"""The pages are true where a machine can tell: commands, settings, links, rooms, length."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reverie.cli import words as words_of_commands
from reverie.cli.commands import COMMANDS
from reverie.cli.parse import parse, split_settings
from reverie.cli.planning import experiment_of
from reverie.recipe.experiment import Experiment, require_fit
from reverie.recipe.presets import make_experiment
from reverie.settings import setting_types, with_changes
from reverie.worlds.names import world_names
from reverie.worlds.registry import base_world, world_spec
from tests.small_runs import ROOT
from tests.test_architecture import ROOMS, SOURCE

DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "notebook"  # kept as it was written
PAGES = sorted(page for page in DOCS.rglob("*.md") if NOTEBOOK not in page.parents)
READ = [ROOT / "README.md", *PAGES]  # by people, today
CHANGES = ROOT / "CHANGELOG.md"
WORDS = 22_000
WIDTH = 160
PLACEHOLDERS = {"WORLD": "tiny", "PRESET": "quick", "N": "3"}
NO_SETTINGS = ("reverie", "torch", "reproduce", "kernel", "sys", "world")  # what stands before a dot in names of code
FILES = re.compile(r".*\.(c|css|html|json|jsonl|md|mp4|py|png|safetensors|toml|txt|onnx)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_lines(text: str) -> Iterator[str]:
    """The lines of indented code and of fences that are no output, those that go on as one."""
    fence: str | None = None
    for line in re.sub(r" \\\n +", " ", text).splitlines():
        if line.startswith("```"):
            fence = None if fence is not None else line[3:]
        elif fence == "" or (fence is None and line.startswith("    ")):
            yield line.strip()


def spans(text: str) -> list[str]:
    """What stands in backticks outside of fences."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def commands_of(page: Path) -> list[str]:
    text = page.read_text()
    found = [line for line in (*code_lines(text), *spans(text)) if re.match(r"reverie [a-z]", line)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generated", DOCS / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [*READ, CHANGES], ids=name_of)
def test_no_line_is_longer_than_a_screen(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if len(line) > WIDTH] == []


def test_the_pages_are_short_enough_to_be_read() -> None:
    assert sum(len(page.read_text().split()) for page in PAGES) < WORDS


@pytest.mark.parametrize(
    "command",
    [pytest.param(command, id=f"{name_of(page)}: {command}") for page in READ for command in commands_of(page)],
)
def test_every_command_is_one(command: str) -> None:
    name, *rest = [PLACEHOLDERS.get(word, word) for word in shlex.split(command, comments=True)[1:]]
    assert name in COMMANDS
    words, settings = split_settings([word for word in rest if word != "--help"])
    if rest:
        kind = getattr(words_of_commands, COMMANDS[name].words)
        require_settings(name, parse(kind, words, f"reverie {name}"), settings)


def require_settings(name: str, parsed: Any, settings: list[str]) -> None:
    """The settings exist, their values are taken, and the run that they ask for is not refused."""
    if not settings:
        return
    assert COMMANDS[name].takes_settings
    if not hasattr(parsed, "world"):  # a study's arms have worlds of their own
        with_changes(make_experiment("tiny", "quick"), settings)
        return
    assert parsed.world is not None, "a stage takes settings with --world alone"
    if base_world(parsed.world) not in world_names():
        parsed = replace(parsed, world="climb")  # which is as any Gymnasium id, and needs no package
    experiment = experiment_of(parsed, settings)
    require_fit(experiment, world_spec(experiment.world))


@pytest.mark.parametrize("page", [*READ, CHANGES], ids=name_of)
def test_every_setting_is_one(page: Path) -> None:
    known = {name.replace("_", "-") for name in setting_types(Experiment)}
    named = [re.split(r"[ =]", span)[0].removeprefix("--") for span in spans(page.read_text())]
    dotted = {name for name in named if re.fullmatch(r"[a-z]+\.[a-z_-]+", name) and not FILES.fullmatch(name)}
    settings = {name.replace("_", "-") for name in dotted if name.split(".")[0] not in NO_SETTINGS}
    assert settings - known == set()


@pytest.mark.parametrize("page", [*READ, CHANGES, *sorted(NOTEBOOK.glob("*.md"))], ids=name_of)
def test_every_link_leads_somewhere(page: Path, generated: ModuleType) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(generated.expand(there.read_text())), target


def anchors(text: str) -> set[str]:
    """The headings' anchors, as Python-Markdown makes them."""
    found: dict[str, int] = {}
    anchored = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.M):
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        anchored.add(f"{slug}_{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return anchored


def test_the_page_of_the_rooms_names_them_in_their_order() -> None:
    rooms = re.findall(r"^\| `(\w+)` \|", (DOCS / "explanation" / "architecture.md").read_text(), re.MULTILINE)
    assert rooms == [room for room in ROOMS if room != "__main__"]


def examples() -> Iterator[tuple[str, str]]:
    for page in READ:
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            yield f"{name_of(page)}-{number}", code


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in examples()])
def test_what_an_example_imports_is_there(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("reverie"):
            assert {name.name for name in node.names} - names_in(str(node.module)) == set()
        elif isinstance(node, ast.Import):
            assert [
                name.name for name in node.names if name.name.startswith("reverie") and not names_in(name.name)
            ] == []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "reverie":
            assert node.attr in names_in("reverie") or (SOURCE / node.attr).is_dir()


def names_in(module: str) -> set[str]:
    """What a module of ours defines or imports, read and not run: torch takes its time."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    names: set[str] = set()
    for node in ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Assign):
            names |= {ast.unparse(target) for target in node.targets}
    return names
