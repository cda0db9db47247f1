"""What a run is worth: scores on unseen seeds, and the report that shows what was learned."""
