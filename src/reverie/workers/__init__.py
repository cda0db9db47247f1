"""The one seam where work spreads: worker processes and the seeds that make their number irrelevant."""
