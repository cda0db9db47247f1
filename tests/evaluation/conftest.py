from __future__ import annotations

from tests.env_specs import quiet_and_single_threaded

__all__ = ["quiet_and_single_threaded"]
