-- Read what the phases of one flow did; returns flow_status, updated_at, transitions, times.
select
    flow_status,
    updated_at,
    phase_transitions as transitions,
    phase_execution_times as times
from migration.crewai_flow_state_extensions
where
    flow_id = :flow_id
    and client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
