-- Find the foreign keys that lead to master rows; returns the table, whether it is the masters' own, its columns and those
-- they lead to (quoted), whether an index begins with the first of them, and about how many rows it has.
select
    reference.conrelid::regclass::text as name,
    reference.conrelid = reference.confrelid as is_own,
    array(
        select quote_ident(attname)
        from unnest(reference.conkey) with ordinality as part (number, place)
        join pg_attribute on attrelid = reference.conrelid and attnum = part.number
        order by part.place
    ) as columns,
    array(
        select quote_ident(attname)
        from unnest(reference.confkey) with ordinality as part (number, place)
        join pg_attribute on attrelid = reference.confrelid and attnum = part.number
        order by part.place
    ) as keys,
    exists (
        select from pg_index where indrelid = reference.conrelid and indisvalid and indkey[0] = reference.conkey[1]
    ) as is_indexed,
    greatest(class.reltuples, 0)::bigint as rows
from pg_constraint as reference
join pg_class as class on class.oid = reference.conrelid
where
    reference.contype = 'f'
    and reference.confrelid = 'migration.crewai_flow_state_extensions'::regclass
    and reference.conparentid = 0
order by 1, 3
