-- Find the flows that ended before :before and that other rows name by one foreign key; returns flow_id.
select flow.flow_id
from migration.crewai_flow_state_extensions as flow
where
    -- include: ended_before
    and
    -- include: named
