"""C for what PyTorch would do in many passes over memory: compiled on the spot, with a fallback where it cannot be."""
