-- Find what changed after :since_us, as find_changes.sql does, of one client account or of all where :client_account_id is null.
-- Returns at least one row, with now_us; of each change flow_id and updated_us, which are null where nothing changed.
select
    moment.now_us,
    changed.flow_id,
    (extract(epoch from changed.updated_at) * 1000000)::bigint as updated_us
from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now_us) as moment
left join (
    select flow_id, updated_at
    from migration.crewai_flow_state_extensions
    where
        (cast(:client_account_id as uuid) is null or client_account_id = cast(:client_account_id as uuid))
        and updated_at > to_timestamp(cast(:since_us as bigint) / 1000000.0)
        and updated_at < '10000-01-01 UTC' -- what Python knows, and a bigint holds
        and (
            (
                (cast(:client_account_id as uuid) is not null or flow_type = any (cast(:flow_types as text[])))
                and flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
            )
            or flow_id = any (cast(:flow_ids as uuid[]))
            or created_at > to_timestamp(cast(:since_us as bigint) / 1000000.0)
        )
) as changed on true
