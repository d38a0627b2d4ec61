-- List a flow's checkpoints without their states, oldest first; returns checkpoint.
select checkpoint.entry - 'state_snapshot' as checkpoint
from migration.crewai_flow_state_extensions as flow
cross join lateral jsonb_path_query(flow.flow_persistence_data, '$.checkpoints[*] ? (@.type() == "object")')
    with ordinality as checkpoint (entry, position)
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and flow.engagement_id = :engagement_id
order by checkpoint.position
