"""Evolving C: CMA-ES, fitness in a dream or a real world."""
