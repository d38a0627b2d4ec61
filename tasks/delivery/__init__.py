"""How one message becomes rows: admit, merge, commit, confirm, or keep as a dead letter."""
