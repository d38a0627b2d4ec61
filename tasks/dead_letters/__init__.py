"""Events that can never be applied, and where they are kept."""
