"""Real environments behind one door."""
