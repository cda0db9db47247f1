"""C: the small controller, a whole population in one call."""
