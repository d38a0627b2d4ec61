-- Return the names of the triggers that may change or skip what is written into a master row.
select tgname as name
from pg_trigger
where
    tgrelid = (
        select oid from pg_class
        where relname = 'crewai_flow_state_extensions' and relnamespace = to_regnamespace('migration')
    )
    and not tgisinternal
    and tgenabled <> 'D'
    and tgtype & 3 = 3  -- for each row, before
    and tgtype & 20 > 0  -- insert or update
order by tgname
