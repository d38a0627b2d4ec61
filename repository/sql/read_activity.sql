-- Read what the agents of one flow did and what it took; returns collaborations, agents, memory.
select
    agent_collaboration_log as collaborations,
    agent_performance_metrics as agents,
    memory_usage_metrics as memory
from migration.crewai_flow_state_extensions
where
    flow_id = :flow_id
    and client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or engagement_id = any (cast(:engagement_ids as uuid[])))
