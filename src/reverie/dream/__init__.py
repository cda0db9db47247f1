"""M as a world: the dream engine and its Gymnasium environments."""
