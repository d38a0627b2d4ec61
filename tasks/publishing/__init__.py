"""How a message is written, and how it reaches the broker."""
