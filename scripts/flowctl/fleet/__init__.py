"""`flowctl fleet` and `flowctl notices`: what all flows do together, and who outside is told of it."""
