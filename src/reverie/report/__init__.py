"""The report: one HTML file of scores, curves, pictures and films."""
