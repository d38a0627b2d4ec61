"""Where a flow stands still for people: the boundaries at which it obeys, and what it asks them."""
