from tests.env_specs import envs, quiet_and_single_threaded, run

__all__ = ["envs", "quiet_and_single_threaded", "run"]
