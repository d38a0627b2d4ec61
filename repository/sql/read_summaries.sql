-- Read what the summaries of these flows are made of, of these accounts only; returns the columns of list_flows.sql, and now.
select
    -- include: summary_columns
    ,
    clock_timestamp() as now
from migration.crewai_flow_state_extensions as flow
-- include: summary_source
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and flow.client_account_id = any (cast(:client_account_ids as uuid[]))
