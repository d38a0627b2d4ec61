"""Flows that ended long ago: written to files and deleted, or thinned."""
