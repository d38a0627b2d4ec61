"""How Redis is reached, and what the workers count there."""
