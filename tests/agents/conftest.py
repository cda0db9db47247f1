"""One thread, no progress bars, nothing left open; the small run's export."""

from tests.runs.conftest import exported, quiet_and_single_threaded

__all__ = ["exported", "quiet_and_single_threaded"]
