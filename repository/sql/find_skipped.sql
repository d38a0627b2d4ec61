-- Return which of these rows a trigger keeps from being updated: where there is one that may, an update without a change is tried.
with may_skip as (
    select
    from pg_trigger
    where
        tgrelid = to_regclass('migration.crewai_flow_state_extensions')
        and not tgisinternal
        and tgenabled <> 'D'
        and tgtype & 19 = 19  -- for each row, before, update
    limit 1
),

tried as (
    update migration.crewai_flow_state_extensions as flow
    -- What the merge sets, because a trigger may be for some columns only, and because more may not be granted.
    set
        phase_transitions = flow.phase_transitions,
        error_history = flow.error_history,
        agent_collaboration_log = flow.agent_collaboration_log,
        phase_execution_times = flow.phase_execution_times,
        memory_usage_metrics = flow.memory_usage_metrics,
        agent_performance_metrics = flow.agent_performance_metrics,
        flow_persistence_data = flow.flow_persistence_data,
        flow_status = flow.flow_status,
        retry_count = flow.retry_count,
        flow_metadata = flow.flow_metadata,
        updated_at = flow.updated_at
    where flow.flow_id = any(cast(:flow_ids as uuid[])) and exists (select from may_skip)
    returning flow.flow_id
)

select unchanged.flow_id
from unnest(cast(:flow_ids as uuid[])) as unchanged (flow_id)
where exists (select from may_skip) and not exists (select from tried where tried.flow_id = unchanged.flow_id)
