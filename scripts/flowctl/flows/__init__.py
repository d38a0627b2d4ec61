"""`flowctl flow` on one flow against others: two side by side, and its lists as files."""
