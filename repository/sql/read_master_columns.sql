-- Read the columns of the master table that can be written; returns name, and it quoted.
select attname::text as name, quote_ident(attname) as quoted
from pg_attribute
where
    attrelid = 'migration.crewai_flow_state_extensions'::regclass
    and attnum > 0
    and not attisdropped
    and attgenerated = ''
order by attnum
