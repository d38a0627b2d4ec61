-- Read the errors of one flow; returns retry_count, whether there were at least so many retries, and errors.
select
    retry_count,
    coalesce(flow_metadata #>> '{_enrichment,counts,retries,at_least}' = 'true', false) as is_floor,
    error_history as errors
from migration.crewai_flow_state_extensions
where
    flow_id = :flow_id
    and client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
