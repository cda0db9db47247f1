"""Scores, figures, videos and the report."""
