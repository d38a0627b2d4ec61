-- Join deltas (one JSON object per flow, shape: repository/merge/deltas.py) to their master rows, locked in flow_id order.
-- Returns the key of each row of these flows and tenants, whether it was written (what changes nothing is not), and whether
-- it holds something that was asked.
-- A stamp (48 characters: microseconds, event id) and a mark (20: seconds, hash of the id) sort as text;
-- "kept" is the bookkeeping under flow_metadata._enrichment. docs/adr/0001 says why each part is what it is.
with delta as (
    select *
    from jsonb_to_recordset(cast(:deltas as jsonb)) as delta (
        flow_id uuid, client_account_id uuid, engagement_id uuid,
        transitions jsonb, errors jsonb, collaborations jsonb,  -- [entry], oldest first, at most 100
        times jsonb,                                            -- {phase: {"execution_time_ms", "completed_at"}}, the newest of each phase
        counted jsonb,                                          -- {name: {"numbered": [[counter, number, time]], "marked": [[mark, old mark, time]]}}
        usage jsonb,                                            -- {name: [[counter, amounts so far, amounts before, time]]}
        memory jsonb, agents jsonb, metadata jsonb,             -- {"values": {key: value}, "stamps": {key: stamp}}
        control jsonb, overdue jsonb,                           -- [entry], oldest first
        newest text,                                            -- the newest stamp of what the flow itself reported
        started jsonb,                                          -- [stamp, phase]
        status jsonb                                            -- {"latest": [stamp, status], "finals": [[stamp, status]], "failed": stamp, "reopened": stamp}
    )
),

-- The rows as they stand once locked, which is newer than the statement's snapshot where a lock was waited for.
old as materialized (
    select
        delta.*,
        flow.phase_transitions, flow.error_history, flow.agent_collaboration_log, flow.phase_execution_times,
        flow.memory_usage_metrics, flow.agent_performance_metrics, flow.flow_metadata, flow.flow_persistence_data,
        flow.flow_status, flow.retry_count, flow.created_at, flow.updated_at
    from delta
    join migration.crewai_flow_state_extensions as flow
        on flow.flow_id = delta.flow_id
        -- Not "=", for which the planner might take the index of an engagement with many flows.
        and (flow.client_account_id, flow.engagement_id)
            is not distinct from (delta.client_account_id, delta.engagement_id)
    order by flow.flow_id
    for no key update of flow
),

written as (
    update migration.crewai_flow_state_extensions as flow
    set
        phase_transitions = coalesce(lists.phase_transitions, flow.phase_transitions),
        error_history = coalesce(lists.error_history, flow.error_history),
        agent_collaboration_log = coalesce(lists.agent_collaboration_log, flow.agent_collaboration_log),
        phase_execution_times = coalesce(times.phase_execution_times, flow.phase_execution_times),
        memory_usage_metrics = coalesce(maps.memory_usage_metrics, flow.memory_usage_metrics),
        agent_performance_metrics = case
            when usage.agents is null then coalesce(maps.agent_performance_metrics, flow.agent_performance_metrics)
            else coalesce(
                maps.agent_performance_metrics,
                case jsonb_typeof(flow.agent_performance_metrics) when 'object' then flow.agent_performance_metrics end,
                '{}'
            ) || usage.agents
        end,
        flow_persistence_data = case
            when start.is_newer
                then started.persistence || jsonb_build_object('current_phase', old.started -> 1)
            else flow.flow_persistence_data
        end,
        flow_status = status.flow_status,
        retry_count = case
            when counts.totals ? 'retries' then least((counts.totals ->> 'retries')::numeric, 2147483647) else flow.retry_count
        end,
        flow_metadata = case
            when bookkeeping.is_new or coalesce(maps.flow_metadata, lists.phase_transitions, usage.flow, noted.metadata) is not null
                then coalesce(maps.flow_metadata, stored.metadata)
                    || coalesce(usage.flow, '{}')
                    || coalesce(noted.metadata, '{}')
                    || jsonb_build_object('_enrichment', bookkeeping.kept)
                    || case when listing.phases is null then '{}' else jsonb_build_object('phase_transitions', listing.phases) end
            else flow.flow_metadata
        end,
        updated_at = clock_timestamp()
    from old
    -- Each part joins what it works out of "old" and of the parts before it, under the name of its last line. One that ends
    -- in "limit (…)::int" is not run at all for a row that has no need of it, as a condition of the join would not see to.
    -- include: merge_bookkeeping
    -- include: merge_lists
    -- include: merge_listing
    -- include: merge_marks
    -- include: merge_counts
    -- include: merge_times
    -- include: merge_control
    -- include: merge_maps
    -- include: merge_usage
    -- include: merge_current_phase
    -- include: merge_status
    -- include: merge_kept
    where
        flow.flow_id = old.flow_id
        and (
            bookkeeping.is_new
            or start.is_newer
            or coalesce(
                lists.phase_transitions, lists.error_history, lists.agent_collaboration_log, times.phase_execution_times,
                maps.memory_usage_metrics, maps.agent_performance_metrics, maps.flow_metadata, usage.agents, usage.flow, noted.metadata
            ) is not null
            or (counts.totals ->> 'retries')::numeric > flow.retry_count
            or status.flow_status <> flow.flow_status
        )
    returning flow.flow_id, stored.metadata ? 'control' or noted.metadata ? 'control' as has_control
)

select
    old.flow_id, old.client_account_id, old.engagement_id, written.flow_id is not null as is_written,
    coalesce(case when written.flow_id is null then old.flow_metadata ? 'control' else written.has_control end, false) as has_control
from old
left join written on written.flow_id = old.flow_id
