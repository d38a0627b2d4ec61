"""Who may see what, and how often: tokens, sign-in codes, limits."""
