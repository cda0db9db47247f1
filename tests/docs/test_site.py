"""The pages as a site: it builds without a warning, and nothing in it is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.cli.commands import COMMANDS
from tests.small_runs import ROOT

LOADED = re.compile(r"<(?:script|img|iframe|source|video)[^>]*\ssrc=\"?(https?:)?//|<link[^>]*\shref=\"?(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install 'reverie[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not (site / page).exists()} == set()
    assert list(site.rglob("*.py")) == []


def test_the_reference_is_made_from_the_code(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text()
    assert [name for name in COMMANDS if f"usage: reverie {name}" not in page] == []
    assert "generated:" not in (site / "reference" / "settings.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert [str(page) for page in site.rglob("*.html") if LOADED.search(page.read_text())] == []
    styles = [
        style for style in site.rglob("*.css") if re.search(r"@import|url\([\"']?(https?:)?//", style.read_text())
    ]
    assert styles == []
