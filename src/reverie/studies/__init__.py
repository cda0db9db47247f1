"""Does it help, and everywhere? Ablations over several seeds, and the suite of worlds, each one command."""
