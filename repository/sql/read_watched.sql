-- Read how it stands with the flows of all tenants that processes hold; returns the columns of the watch.
select
    -- include: watched_columns
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where flow.flow_id = any (cast(:flow_ids as uuid[]))
