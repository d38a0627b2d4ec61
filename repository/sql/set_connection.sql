-- Set time limits (milliseconds, as text), the time zone, and how values are written and read, whatever role and
-- database have of their own; until the transaction ends if :is_local, else for good. Compiling (jit) a merge takes
-- a second, and running it a millisecond.
select
    set_config('lock_timeout', :lock_timeout, :is_local),
    set_config('statement_timeout', :statement_timeout, :is_local),
    set_config('idle_in_transaction_session_timeout', :idle_timeout, :is_local),
    set_config('timezone', 'UTC', :is_local),
    set_config('datestyle', 'ISO', :is_local),
    set_config('extra_float_digits', '1', :is_local),
    set_config('standard_conforming_strings', 'on', :is_local),
    set_config('jit', 'off', :is_local)
