"""What a child row is, what it proves of its flow, and what its master row gets from that."""
