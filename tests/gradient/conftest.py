"""An untrained V and M of the tiny world, as the tests of the evolution of C have them."""

from tests.evolution.conftest import arenas, run

__all__ = ["arenas", "run"]
