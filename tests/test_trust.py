"""docs/explanation/repeatable.md is true: its tests are there, and what it says is not repeatable is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from reverie.vision import model as vision_model
from reverie.vision.encode import encode_frames
from reverie.vision.model import ConvVAE, fast_copy, initialise
from tests.small_runs import ROOT

PAGE = (ROOT / "docs" / "explanation" / "repeatable.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert f"def {name}" in (ROOT / file).read_text()


def test_every_row_of_determinism_names_a_test() -> None:
    table = PAGE.partition("## What is repeatable")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 10
    for row in rows:
        assert "`tests/" in row, row


def test_a_processor_with_another_number_format_gives_other_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 where the hardware has it, float32 elsewhere: close, and not the same."""
    model, frames = ConvVAE(8), np.random.default_rng(0).integers(256, size=(4, 64, 64, 3), dtype=np.uint8)
    initialise(model, torch.Generator().manual_seed(0))
    latents = []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(vision_model, "compute_dtype", lambda device, dtype=dtype: dtype)
        latents.append(encode_frames(fast_copy(model), frames)[0])
    assert not torch.equal(*latents)
    assert float((latents[0] - latents[1]).abs().max()) < 0.05 * float(latents[0].abs().max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_other_bits() -> None:
    model, frames = ConvVAE(8), np.random.default_rng(0).integers(256, size=(4, 64, 64, 3), dtype=np.uint8)
    initialise(model, torch.Generator().manual_seed(0))
    here, there = encode_frames(model, frames)[0], encode_frames(model.to("cuda"), frames)[0].cpu()
    assert not torch.equal(here, there)
    assert float((here - there).abs().max()) < 0.05 * float(here.abs().max())
