"""C by gradients inside M's dream, where every step of thousands says what was good: PPO, or backpropagation."""
