-- Tell whether this database has the column data_validation_completed, a later addition.
select exists (
    select from pg_attribute
    where attrelid = 'migration.discovery_flows'::regclass and attname = 'data_validation_completed' and not attisdropped
)
