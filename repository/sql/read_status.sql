-- Read what is known of one flow; returns what a summary is made of, its transitions as entries, times, usage of agents, control (what was asked of it and by it), and the length of its two other lists.
select
    -- include: summary_columns
    ,
    flow.phase_transitions as entries,
    flow.phase_execution_times as times,
    raw.metadata -> 'overdue' as overdue, raw.metadata -> 'deadline_at' as deadline_at,
    flow.agent_performance_metrics -> 'usage' as agents_usage,
    raw.metadata -> 'control' as control,
    case when jsonb_typeof(lists.collaborations) = 'array' then jsonb_array_length(lists.collaborations) else 0 end as collaboration_count
from migration.crewai_flow_state_extensions as flow
-- include: summary_source
cross join lateral (
    select flow.agent_collaboration_log #> '{}' as collaborations
    offset 0
) as lists
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and (cast(:engagement_ids as uuid[]) is null or flow.engagement_id = any (cast(:engagement_ids as uuid[])))
