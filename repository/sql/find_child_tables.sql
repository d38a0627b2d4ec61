-- Return which of these tables there are in the schema, each with its columns: {"<column>": "<type>"}; and whether we may read it.
select
    class.relname as name,
    has_table_privilege(class.oid, 'select') as is_readable,
    jsonb_object_agg(attribute.attname, format_type(attribute.atttypid, null)) as columns
from pg_class as class
join pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
where
    class.relnamespace = to_regnamespace('migration')
    and class.relkind in ('r', 'p')
    and class.relname = any (cast(:names as text[]))
group by class.relname, class.oid
