-- Read the errors of one flow; returns retry_count, errors.
select retry_count, error_history as errors
from migration.crewai_flow_state_extensions
where
    flow_id = :flow_id
    and client_account_id = :client_account_id
    and engagement_id = any (cast(:engagement_ids as uuid[]))
