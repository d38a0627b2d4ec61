"""Notices: who outside is told that a flow failed, is lost, late, waits, or cost too much."""
