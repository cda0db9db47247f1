"""How C learns: CMA-ES, PPO, backpropagation through the dream; in the dream or in the world."""
