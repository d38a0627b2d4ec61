-- Set time limits (milliseconds, as text) and the time zone, until the transaction ends if :is_local, else for good.
select
    set_config('lock_timeout', :lock_timeout, :is_local),
    set_config('statement_timeout', :statement_timeout, :is_local),
    set_config('idle_in_transaction_session_timeout', :idle_timeout, :is_local),
    set_config('timezone', 'UTC', :is_local)
