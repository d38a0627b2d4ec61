"""What people want of the flows of this process: heard by the sender's thread, kept for the flow's code."""
