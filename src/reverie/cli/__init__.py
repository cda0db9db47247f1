"""The command line, thin: words -> Experiment -> stages. Results go to stdout, progress and logs to stderr."""

from __future__ import annotations

from reverie.cli.dispatch import main

__all__ = ["main"]
