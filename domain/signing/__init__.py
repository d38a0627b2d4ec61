"""Proofs of who wrote what lies in Redis or on the broker, and whose keys there are."""
