"""What a run takes, before it begins: rates of the world and of this machine, the estimate, the largest budget."""
