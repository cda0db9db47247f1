"""Reverie: learn a world from pixels, train inside the dream, come back to reality."""

__version__ = "0.1.0"
