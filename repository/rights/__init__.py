"""What our role of Postgres may do, and what policies hide from it."""
