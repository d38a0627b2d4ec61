-- Read one checkpoint; returns phase, state (null if it holds none).
select
    checkpoint.entry ->> 'phase' as phase,
    (case jsonb_typeof(checkpoint.entry -> 'state_snapshot')
        when 'object' then (checkpoint.entry -> 'state_snapshot') - cast(:not_state as text[])
    end)::text as state
from migration.crewai_flow_state_extensions as flow
cross join lateral jsonb_path_query(flow.flow_persistence_data, '$.checkpoints[*] ? (@.type() == "object")') as checkpoint (entry)
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and flow.engagement_id = :engagement_id
    and checkpoint.entry ->> 'checkpoint_id' = :checkpoint_id
