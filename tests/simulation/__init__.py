"""Worlds in which the real code runs, each from a number."""
