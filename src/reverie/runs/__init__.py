"""A run: its folder, the stages that fill it, rounds, resuming, opening, verifying and exporting what it made."""
