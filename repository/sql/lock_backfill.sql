-- Let one backfill run at a time: take its lock until the transaction ends; returns whether it was free.
select pg_try_advisory_xact_lock(:lock)
