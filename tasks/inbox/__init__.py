"""What a message must be before it is applied, and how often it was tried."""
