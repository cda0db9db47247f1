"""Modules of the user's own: also those that lie in the current folder, which a console script does not search."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def import_here(module: str) -> ModuleType:
    """Import a module, that of the current folder too, as `python -m` and scripts would."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top, here = module.partition(".")[0], os.getcwd()
        if error.name != top or here in sys.path or not any(Path(here, top + end).exists() for end in ("", ".py")):
            raise
        sys.path.insert(0, here)
        return import_module(module)
