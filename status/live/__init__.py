"""What changes while people look: the change feed, its listeners and the event stream."""
