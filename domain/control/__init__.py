"""What was asked of a flow and by it, read from its row: requests, questions, and what may be asked."""
