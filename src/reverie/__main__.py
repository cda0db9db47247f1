"""`python -m reverie` is the command `reverie`."""

from __future__ import annotations

from reverie.cli import main

main()
