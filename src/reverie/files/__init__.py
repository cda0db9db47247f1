"""Durable files: atomic writes, checksums, checkpoints, metrics."""
