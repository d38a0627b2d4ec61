-- What a summary is made of: a part of the statements that include it after summary_source.
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.user_id, flow.flow_type, flow.flow_name,
    flow.flow_status, flow.retry_count,
    case when jsonb_typeof(flow.error_history) = 'array' then jsonb_array_length(flow.error_history) else 0 end as error_count,
    flow.created_at, flow.updated_at,
    known.current_phase,
    raw.metadata -> 'last_progress_update' as snapshot,
    raw.metadata -> 'usage' as usage,
    raw.metadata -> 'usage_budget' as budget,
    listing.phases, listing.statuses,
    raw.metadata #> '{_enrichment,status}' as status_stamps,
    -- include: is_lost
    as is_lost,
    -- include: is_overdue
    as is_overdue,
    raw.metadata -> 'lost' as lost,
    jsonb_path_query_array(raw.metadata, '$._enrichment.counts.keyvalue() ? (@.value.at_least == true).key', '{}', true) as floors
