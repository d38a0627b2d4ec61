-- Count the flows that ended before :before by tenant; returns client_account_id, engagement_id, flows, and of these
-- named (:named, which other rows name by a foreign key, so they stay), bytes as the disk has them, and the first and last
-- created_at, as text.
select
    flow.client_account_id,
    flow.engagement_id,
    count(*) as flows,
    count(named.flow_id) as named,
    sum(
        coalesce(pg_column_size(flow.flow_persistence_data), 0) + coalesce(pg_column_size(flow.flow_configuration), 0)
        + coalesce(pg_column_size(flow.phase_transitions), 0) + coalesce(pg_column_size(flow.error_history), 0)
        + coalesce(pg_column_size(flow.agent_collaboration_log), 0) + coalesce(pg_column_size(flow.agent_performance_metrics), 0)
        + coalesce(pg_column_size(flow.memory_usage_metrics), 0) + coalesce(pg_column_size(flow.flow_metadata), 0)
    )::bigint as bytes,
    min(flow.created_at)::text as first,
    max(flow.created_at)::text as last
from migration.crewai_flow_state_extensions as flow
left join unnest(cast(:named as uuid[])) as named (flow_id) on named.flow_id = flow.flow_id
where
    -- include: ended_before
    and
    -- include: condition
group by flow.client_account_id, flow.engagement_id
order by flow.client_account_id, flow.engagement_id
