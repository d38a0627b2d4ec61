-- Read the flows that changed after :since and may be of interest to who is listening; returns what a summary is made of.
-- There is no index on updated_at, so this looks where changes happen: at the open flows of the accounts that listen, at
-- those just created, and at the flows in :flow_ids (open a moment ago, or watched by somebody).
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
        client_account_id = any (cast(:client_account_ids as uuid[]))
        and updated_at > :since
        and (
            (
                client_account_id = any (cast(:client_account_ids as uuid[]))
                and flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
            )
            or flow_id = any (cast(:flow_ids as uuid[]))
            or created_at > :since
        )
    order by updated_at
    limit :most
) as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
order by flow.updated_at
