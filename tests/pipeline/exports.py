"""Exports for tests: the small run's, to be copied and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reverie.files.checkpoint import digest_of
from reverie.pipeline.card import CARD


def with_card(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Edits the card of an export, its digest made to fit: what no checksum can tell."""

    def change(folder: Path) -> None:
        content = json.loads((folder / CARD).read_text())
        del content["digest"]
        edit(content)
        content["digest"] = digest_of(content)
        (folder / CARD).unlink()
        (folder / CARD).write_text(json.dumps(content))

    return change
