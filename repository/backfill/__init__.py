"""What the backfill reads."""
