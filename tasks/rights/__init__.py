"""Whether the users that the settings name may do in Redis and Postgres what a worker does there."""
