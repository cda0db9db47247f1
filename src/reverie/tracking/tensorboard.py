"""TensorBoard as a tracker: `tensorboard --logdir runs` shows every run below it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Scalars `STAGE/NAME`, and the settings as text, in the run's folder `tensorboard`."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        folder = run / "tensorboard"
        for old in folder.glob("events.out.tfevents.*"):  # an earlier session's: every row comes again
            old.unlink()
        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("settings", f"```\n{json.dumps(settings, indent=2)}\n```")

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()
