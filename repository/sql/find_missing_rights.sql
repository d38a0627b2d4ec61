-- Return which privileges of [{"name", "privilege", "columns"}] our role lacks on the tables there are, all columns or some:
-- name (null for the schema itself), privilege, columns (empty for the whole table).
with needed as (
    select *
    from jsonb_to_recordset(cast(:needed as jsonb)) as needed (name text, privilege text, columns text[])
)

select null as name, 'USAGE' as privilege, '{}'::text[] as columns
from pg_namespace
where nspname = 'migration' and not has_schema_privilege(oid, 'usage')

union all

select
    needed.name,
    needed.privilege,
    case when looked_at.missing = looked_at.there then '{}' else looked_at.missing end
from needed
join pg_class as class on class.relname = needed.name and class.relnamespace = to_regnamespace('migration')
cross join lateral (
    select
        array_agg(attname::text order by attnum) as there,
        array_agg(attname::text order by attnum) filter (where not has_column_privilege(attrelid, attnum, needed.privilege)) as missing
    from pg_attribute
    where
        attrelid = class.oid
        and attnum > 0
        and not attisdropped
        and (attname = any (needed.columns) or needed.columns = '{}')
) as looked_at
where looked_at.missing is not null
