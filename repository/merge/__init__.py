"""How events change a master row."""
