-- Add a checkpoint of :state, or if that is null of the state as it stands, and keep the newest 10; returns flow_id.
with held as materialized (
    select
        id,
        flow_persistence_data as persistence,
        coalesce(cast(:state as jsonb), flow_persistence_data - cast(:not_state as text[])) as state
    from migration.crewai_flow_state_extensions
    where
        flow_id = :flow_id
        and client_account_id = :client_account_id
        and engagement_id = :engagement_id
        and jsonb_typeof(flow_persistence_data) = 'object'
    for no key update
)

update migration.crewai_flow_state_extensions as flow
set
    flow_persistence_data = held.persistence || jsonb_build_object(
        'checkpoints',
        jsonb_path_query_array(
            coalesce(held.persistence -> 'checkpoints', '[]')
            || jsonb_build_array(cast(:checkpoint as jsonb) || jsonb_build_object('state_snapshot', held.state)),
            '$[last - 9 to last]'
        )
    ),
    updated_at = clock_timestamp()
from held
where flow.id = held.id
returning flow.flow_id
