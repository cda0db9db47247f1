"""Playing: the one loop over episodes, where C is tried, and how workers try many Cs."""
