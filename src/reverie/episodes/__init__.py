"""Experience on disk: episodes, the store, exploration policies, collecting."""
