"""What is asked of the list of flows, and how many each choice would find."""
