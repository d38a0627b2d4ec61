-- Read the lists of some flows of one tenant; returns flow_id, transitions, errors, collaborations.
select
    flow_id,
    phase_transitions as transitions,
    error_history as errors,
    agent_collaboration_log as collaborations
from migration.crewai_flow_state_extensions
where
    flow_id = any (cast(:flow_ids as uuid[]))
    and client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
