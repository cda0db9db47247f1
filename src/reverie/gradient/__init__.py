"""C by policy gradients: PPO inside M's dream, where every step of thousands of dreams says what was good."""
