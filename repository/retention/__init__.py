"""Rows of flows that have ended: found, taken out or thinned, and put back."""
