"""Does it help? Ablations over several seeds, each one command."""
