"""ViZDoom's Take Cover, each game a process of its own that never outlives us."""

from __future__ import annotations

from reverie.worlds.doom.game import DOOM, LEFT, RIGHT, SKILL, STAY, DoomWorld

__all__ = ["DOOM", "LEFT", "RIGHT", "SKILL", "STAY", "DoomWorld"]
