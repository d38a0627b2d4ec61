-- Read what the summaries of these flows are made of, of these accounts only; returns the columns of list_flows.sql.
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
    raw.metadata #> '{_enrichment,status}' as status_stamps
from migration.crewai_flow_state_extensions as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and flow.client_account_id = any (cast(:client_account_ids as uuid[]))
