"""The choices that make a collection of rollouts; import-light, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import ReverieError

POLICIES = ("uniform", "held", "turning", "long-held", "sweep", "brownian", "random-network")
MOST_STEPS = 100_000  # of an episode, which is held in memory whole: 1.2 GB


@dataclass(frozen=True)
class CollectConfig:
    """How much experience to collect, and what acts while it is collected."""

    episodes: int
    """Episodes in all, those already in the store included."""
    max_steps: int
    """Episodes are cut off after so many steps; the world's own limit holds too."""
    min_steps: int = 0
    """Shorter episodes are thrown away and played again from another seed (the paper's Doom: 100)."""
    policies: tuple[str, ...] = ("uniform",)
    """The exploration policies; each episode draws one of them (a name given twice is drawn twice as often)."""

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("max_steps", 1), ("min_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ReverieError(
                    f"collect.{name} is {value!r}, expected a whole number, {least} or more; "
                    "change it in the configuration"
                )
        if self.max_steps > MOST_STEPS:
            raise ReverieError(
                f"collect.max_steps is {self.max_steps}, expected at most {MOST_STEPS:,}, which fit in memory; "
                "change it in the configuration"
            )
        if self.min_steps > self.max_steps:
            raise ReverieError(
                f"collect.min_steps is {self.min_steps}, expected at most max_steps, which is {self.max_steps}; "
                "change it in the configuration"
            )
        unknown = [name for name in self.policies if name not in POLICIES]
        if unknown or not self.policies:
            raise ReverieError(
                f"collect.policies is {list(self.policies)}, expected names out of {', '.join(POLICIES)}; "
                "change it in the configuration"
            )
