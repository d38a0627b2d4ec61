-- Read what flows of one client account count for, or of all where :client_account_id is null, that began from :since_s until before :until_s (seconds since 1970); returns fleet_columns.sql.
select
    -- include: fleet_columns
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where
    (cast(:client_account_id as uuid) is null or flow.client_account_id = cast(:client_account_id as uuid))
    and flow.created_at >= to_timestamp(:since_s)
    and flow.created_at < to_timestamp(:until_s)
