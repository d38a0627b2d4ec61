-- Read the flows of one tenant that changed after :since, oldest change first; returns what a summary is made of.
-- It looks at every row of the client account, so it is only for a listener who was away and comes back.
select
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.user_id, flow.flow_type, flow.flow_name,
    flow.flow_status, flow.retry_count, flow.created_at, flow.updated_at,
    coalesce(
        regexp_replace(
            jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
            '[:]processing$', ''
        ),
        raw.metadata #>> '{last_progress_update,current_phase}',
        flow.flow_persistence_data ->> 'current_phase'
    ) as current_phase,
    raw.metadata -> 'last_progress_update' as snapshot,
    raw.metadata -> 'phase_transitions' as transitions,
    raw.metadata #> '{_enrichment,status}' as status_stamps
from (
    select *
    from migration.crewai_flow_state_extensions
    where
        client_account_id = :client_account_id
        and engagement_id = any (cast(:engagement_ids as uuid[]))
        and updated_at > :since
        and (cast(:flow_id as uuid) is null or flow_id = cast(:flow_id as uuid))
    order by updated_at
    limit :most
) as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
order by flow.updated_at
