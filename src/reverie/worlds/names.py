"""The worlds with a name of their own; every Gymnasium id is a world too."""

from __future__ import annotations

DESCRIPTIONS = {
    "doom": "ViZDoom's Take Cover: step left and right to survive fireballs",
    "carracing": "CarRacing-v3: drive around a track, in Gymnasium's engine or EnvPool's",
    "tiny": "Follow: keep a bar as long as one that wanders; learned in under a minute",
    "climb": "Climb: swing out of a valley that random play does not leave",
}


def world_names() -> list[str]:
    """Their names."""
    return list(DESCRIPTIONS)
