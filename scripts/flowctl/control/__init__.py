"""What people tell flows, and what flows ask of people, in the terminal."""
