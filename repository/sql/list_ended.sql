-- List flows that ended before :before, beyond a place (created_at, flow_id) and at most :most, the oldest first.
-- Returns flow_id and created_at, as text.
select flow.flow_id, flow.created_at::text as created_at
from migration.crewai_flow_state_extensions as flow
where
    -- include: ended_before
    and flow.created_at >= cast(:created_at as timestamptz)
    and (flow.created_at, flow.flow_id) > (cast(:created_at as timestamptz), cast(:flow_id as uuid))
    and
    -- include: condition
order by flow.created_at, flow.flow_id
limit :most
