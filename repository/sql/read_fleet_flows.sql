-- Read what these flows of one client account count for, or of all where :client_account_id is null; returns fleet_columns.sql.
select
    -- include: fleet_columns
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and (cast(:client_account_id as uuid) is null or flow.client_account_id = cast(:client_account_id as uuid))
