"""The run folder, its stages, resume."""
