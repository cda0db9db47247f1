"""Any Gymnasium environment as a world: how it is opened, where its picture is, how one acts in it."""

from __future__ import annotations

from reverie.worlds.generic.actions import to_env_action

__all__ = ["to_env_action"]
