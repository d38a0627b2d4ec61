"""What a message must be before it is applied: small, well-formed, signed, not from the future."""
