-- Find the open flows of one client account, or of all where :client_account_id is null, that began before :since_s or at no time that there is; returns flow_id.
-- All types are named because there is an index on type and status, and none on the status alone.
select flow_id
from migration.crewai_flow_state_extensions
where
    (cast(:client_account_id as uuid) is null or client_account_id = cast(:client_account_id as uuid))
    and (cast(:client_account_id as uuid) is not null or flow_type = any (cast(:flow_types as text[])))
    and flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
    and (created_at is null or created_at < to_timestamp(:since_s) or not isfinite(created_at))
