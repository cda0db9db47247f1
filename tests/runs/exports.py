"""What tests do to a copied export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reverie.agents.card import CARD
from reverie.files.arrays import load_arrays, save_arrays
from reverie.files.atomic import sha256
from reverie.files.checkpoint import digest_of

Damage = Callable[[Path], None]


def with_card(edit: Callable[[dict[str, Any]], object]) -> Damage:
    """Another card, its digest made to fit: what no checksum can tell."""

    def change(folder: Path) -> None:
        content = json.loads((folder / CARD).read_text())
        del content["digest"]
        edit(content)
        content["digest"] = digest_of(content)
        (folder / CARD).unlink()
        (folder / CARD).write_text(json.dumps(content))

    return change


def with_weights(name: str, edit: Callable[[dict[str, np.ndarray]], object], **notes: str) -> Damage:
    """Other arrays in a file, every digest made to fit."""

    def change(folder: Path) -> None:
        arrays, kept = load_arrays(folder / name)
        edit(arrays)
        (folder / name).unlink()
        save_arrays(folder / name, arrays, kept | notes)
        with_card(lambda card: card["sha256"].update({name: sha256(folder / name)}))(folder)

    return change
