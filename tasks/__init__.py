"""What to do about it: the queue, the enrichment tasks, the backfill and the dead letters."""
