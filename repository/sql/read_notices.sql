-- Read what a notice about these flows says, of all tenants; returns the columns of the watch, flow_type, flow_name,
-- last_error, which is the newest entry of error_history, and ended, which begins with the microsecond of the end.
select
    -- include: watched_columns
    ,
    flow.flow_type,
    flow.flow_name,
    case when jsonb_typeof(flow.error_history) = 'array' then flow.error_history -> -1 end as last_error,
    raw.metadata #>> '{_enrichment,status,final,0}' as ended
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where flow.flow_id = any (cast(:flow_ids as uuid[]))
