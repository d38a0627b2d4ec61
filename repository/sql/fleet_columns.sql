-- What a flow counts for in its fleet: a part of the statements that read "flow"; times are microseconds since 1970, null where there is none that Python knows.
-- errors: [[text, timestamp], ..]; agents_usage: {agent: {model: figures}}; the rest as it stands in the row.
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.flow_type, flow.flow_status,
    -- include: created_us
    as created_us,
    -- include: updated_us
    as updated_us,
    raw.metadata #> '{_enrichment,status}' as status_stamps,
    -- include: is_lost
    as is_lost,
    raw.metadata -> 'lost' as lost,
    -- include: is_overdue
    as is_overdue,
    case when flow.flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval') then
        -- include: waiting_since
    end as waiting_us,
    flow.phase_execution_times as times,
    case when jsonb_typeof(flow.error_history) = 'array' and flow.error_history <> '[]' then (
        select jsonb_agg(jsonb_build_array(left(entry ->> 'error', 400), left(entry ->> 'timestamp', 40)) order by place)
        from jsonb_array_elements(flow.error_history) with ordinality as entries (entry, place)
        where jsonb_typeof(entry) = 'object'
    ) end as errors,
    raw.metadata -> 'usage' as usage,
    flow.agent_performance_metrics -> 'usage' as agents_usage
