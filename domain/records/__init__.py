"""What one record holds that says several things at once, and how a worker spells it out."""
