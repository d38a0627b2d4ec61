"""One flow against others: what is usual for its type, what differs from another run, and its files."""
