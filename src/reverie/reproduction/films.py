"""What a reproduction shows on film: an agent in its dream, beside the same agent in the real world."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.report.video import Film


@dataclass(frozen=True)
class Shown:
    """A film with its words.

    name: of its file, without the suffix
    title, caption: for a reader; tau: of the dream, as text
    """

    name: str
    title: str
    caption: str
    tau: str
    film: Film

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.{'mp4' if self.film.is_video else 'webp'}"
