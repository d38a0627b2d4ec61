-- Tell what row-level security does to our role on the table :name; returns role, hides_rows, hides_all, limits_updates, refuses_updates.
-- A policy whose condition is "true" hides nothing, and a table that never had a row has none to hide.
with policy as (
    select
        polpermissive as is_permissive,
        polcmd in ('*', 'r') as is_for_reading,
        polcmd in ('*', 'w') as is_for_updating,
        pg_get_expr(polqual, polrelid) is not distinct from 'true' as shows_all
    from pg_policy
    where
        polrelid = to_regclass(:name)
        and (
            0::oid = any (polroles)
            or exists (select from unnest(polroles) as granted (role) where pg_has_role(granted.role, 'usage'))
        )
),

-- One permissive policy lets a row through, and each restrictive one can hold it back.
applied as (
    select
        coalesce(bool_or(is_permissive and is_for_reading and shows_all), false)
            and not coalesce(bool_or(not is_permissive and is_for_reading and not shows_all), false) as reads_all,
        coalesce(bool_or(is_permissive and is_for_updating and shows_all), false)
            and not coalesce(bool_or(not is_permissive and is_for_updating and not shows_all), false) as updates_all,
        coalesce(bool_or(is_permissive and is_for_updating), false) as updates_some
    from policy
),

held as (
    select
        row_security_active(class.oid) as is_active,
        row_security_active(class.oid) and (class.relkind = 'p' or pg_relation_size(class.oid) > 0) as has_rows
    from pg_class as class
    where class.oid = to_regclass(:name)
)

select
    current_user as role,
    held.is_active and not applied.reads_all as hides_rows,
    case
        when held.has_rows and not applied.reads_all then not exists (
            -- include: rows
        )
        else false
    end as hides_all,
    held.is_active and not applied.updates_all as limits_updates,
    held.has_rows and not applied.updates_some as refuses_updates
from held
cross join applied
