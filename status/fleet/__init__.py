"""The fleet: what all flows of a client account do together, in sums that are kept equal to the rows."""
