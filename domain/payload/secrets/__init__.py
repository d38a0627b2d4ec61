"""Where a secret stands in a text or a value: by its shape, behind its name, beside it, or in a column."""
