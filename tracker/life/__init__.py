"""Life: which flows this process holds, the signs it gives of that, and what it finds of dead processes."""
