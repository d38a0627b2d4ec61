"""Mistakes planted one at a time in a copy of the tree, to see that a test finds each."""
