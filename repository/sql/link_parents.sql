-- Let flows name their parents again (:pairs, [{"flow_id", "parent_flow_id"}]), where these are there and no other is named.
update migration.crewai_flow_state_extensions as flow
set parent_flow_id = pair.parent_flow_id
from jsonb_to_recordset(cast(:pairs as jsonb)) as pair (flow_id uuid, parent_flow_id uuid)
join migration.crewai_flow_state_extensions as parent on parent.flow_id = pair.parent_flow_id
where
    flow.flow_id = pair.flow_id
    and flow.parent_flow_id is null
