"""The types of flows, each as one specification: its phases, and what its child rows prove of them."""
