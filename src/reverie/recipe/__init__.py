"""What a run is to do: the experiment, its presets, and both as words of the command line."""
