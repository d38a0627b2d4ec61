-- Read what is known of one flow without its lists; returns what a summary is made of, listed, times, agents, memory and three counts.
select
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.user_id, flow.flow_type, flow.flow_name,
    flow.flow_status, flow.retry_count, flow.created_at, flow.updated_at,
    coalesce(
        flow.flow_persistence_data ->> 'current_phase',
        regexp_replace(
            jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
            '[:]processing$', ''
        ),
        raw.metadata #>> '{last_progress_update,current_phase}'
    ) as current_phase,
    raw.metadata -> 'last_progress_update' as snapshot,
    raw.metadata -> 'phase_transitions' as transitions,
    raw.metadata #> '{_enrichment,status}' as status_stamps,
    case when jsonb_typeof(lists.transitions) = 'array' then (
        select coalesce(
            jsonb_agg(left(entry ->> 'phase', 100) || ':' || left(entry ->> 'status', 40) order by place)
                filter (where entry ->> 'phase' is not null and entry ->> 'status' is not null),
            '[]'
        )
        from jsonb_array_elements(lists.transitions) with ordinality as listed (entry, place)
    ) else raw.metadata -> 'phase_transitions' end as listed,
    flow.phase_execution_times as times,
    case when jsonb_typeof(lists.transitions) = 'array' then jsonb_array_length(lists.transitions) else 0 end as transition_count,
    case when jsonb_typeof(lists.errors) = 'array' then jsonb_array_length(lists.errors) else 0 end as error_count,
    case when jsonb_typeof(lists.collaborations) = 'array' then jsonb_array_length(lists.collaborations) else 0 end as collaboration_count
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
cross join lateral (
    select
        flow.phase_transitions #> '{}' as transitions,
        flow.error_history #> '{}' as errors,
        flow.agent_collaboration_log #> '{}' as collaborations
    offset 0
) as lists
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and flow.engagement_id = any (cast(:engagement_ids as uuid[]))
