-- List flows of one tenant, newest first, from the first :scanned ones that come after the place (:after_at, :after_id).
-- Returns what one summary is made of, its place among those looked at, and whether it is meant; the last one looked at
-- always comes along, so that the next page knows where to go on. What is big stays in the table: only keys are read.
with looked_at as materialized (
    select
        flow_id, client_account_id, engagement_id, user_id, flow_type, flow_name, flow_status, retry_count,
        created_at, updated_at, flow_metadata, flow_persistence_data,
        row_number() over (order by created_at desc, flow_id desc) as place,
        lead(flow_id) over (order by created_at desc, flow_id desc) is null as is_last
    from (
        select *
        from migration.crewai_flow_state_extensions
        where
            client_account_id = :client_account_id
            and engagement_id = any (cast(:engagement_ids as uuid[]))
            and (cast(:statuses as text[]) is null or flow_status = any (cast(:statuses as text[])))
            and (cast(:flow_type as text) is null or flow_type = cast(:flow_type as text))
            and (cast(:flow_id as uuid) is null or flow_id = cast(:flow_id as uuid))
            and (cast(:since as timestamptz) is null or created_at >= cast(:since as timestamptz))
            -- A row without created_at comes first, as in the index.
            and (
                cast(:after_id as uuid) is null
                or (
                    cast(:after_at as timestamptz) is not null
                    and (created_at, flow_id) < (cast(:after_at as timestamptz), cast(:after_id as uuid))
                )
                or (
                    cast(:after_at as timestamptz) is null
                    and (created_at is not null or flow_id < cast(:after_id as uuid))
                )
            )
        order by created_at desc, flow_id desc
        limit :scanned
    ) as page
)

select
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.user_id, flow.flow_type, flow.flow_name,
    flow.flow_status, flow.retry_count, flow.created_at, flow.updated_at, flow.place,
    known.current_phase,
    raw.metadata -> 'last_progress_update' as snapshot,
    raw.metadata -> 'phase_transitions' as transitions,
    raw.metadata #> '{_enrichment,status}' as status_stamps,
    meant.is_meant
from looked_at as flow
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
cross join lateral (
    select coalesce(
        regexp_replace(
            jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
            '[:]processing$', ''
        ),
        raw.metadata #>> '{last_progress_update,current_phase}',
        flow.flow_persistence_data ->> 'current_phase'
    ) as current_phase
    offset 0
) as known
cross join lateral (
    select
        (cast(:phase as text) is null or known.current_phase = cast(:phase as text))
        and (
            cast(:text as text) is null
            or position(lower(cast(:text as text)) in lower(concat_ws(' ', flow.flow_name, flow.flow_id, flow.user_id))) > 0
        ) as is_meant
) as meant
where meant.is_meant or flow.is_last
order by flow.place
limit :most
