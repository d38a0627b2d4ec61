"""`flowctl fleet`: what all flows of an engagement do together."""
