"""A trained agent on disk: save, load, export, the agents that come with Reverie, their cards."""
