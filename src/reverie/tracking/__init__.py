"""Metrics for people who have an experiment tracker already."""
