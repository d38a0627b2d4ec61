"""The repository for code that cannot await."""
