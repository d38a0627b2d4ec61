-- Note which version of its child each master has been given, and the times it lacked; locks the rows in flow_id order.
-- What the child proves no longer goes, from the list and from its index; the last known phase stands where nobody reported one.
-- A phase that has a time keeps it. Where a live time has taken the place of a backfilled one, the marks of that go.
with note as (
    select *
    from jsonb_to_recordset(cast(:notes as jsonb)) as note (
        flow_id uuid, client_account_id uuid, engagement_id uuid,
        version text,
        times jsonb,  -- {phase: {"execution_time_ms", "attempts": 0, "time", "source", "evidence"}}
        withdrawn text[],  -- ids of entries that a backfill made
        current_phase text,  -- empty if none is known
        updated_at timestamptz  -- null to leave what the merge set
    )
),

held as materialized (
    select note.*, flow.phase_execution_times, flow.flow_metadata, flow.flow_persistence_data,
        flow.phase_transitions, flow.error_history
    from note
    join migration.crewai_flow_state_extensions as flow
        on flow.flow_id = note.flow_id
        and flow.client_account_id = note.client_account_id
        and flow.engagement_id = note.engagement_id
    order by flow.flow_id
    for no key update of flow
)

update migration.crewai_flow_state_extensions as flow
set
    flow_metadata = case
        when jsonb_typeof(stored.metadata) = 'object'
            then stored.metadata || jsonb_build_object(
                '_enrichment', stored.kept || jsonb_build_object(
                    'backfill', jsonb_build_object('version', held.version)
                    || case when known.is_ours and held.current_phase <> ''
                        then jsonb_build_object('current_phase', held.current_phase) else '{}' end
                )
            ) || case when lists.transitions is null then '{}' else jsonb_build_object(
                'phase_transitions', (
                    select coalesce(
                        jsonb_agg(
                            left(coalesce(entry ->> 'phase', '?'), 100) || ':' || left(coalesce(entry ->> 'status', '?'), 40)
                            order by place
                        ),
                        '[]'
                    )
                    from jsonb_array_elements(lists.transitions) with ordinality as left_over (entry, place)
                )
            ) end
        else flow.flow_metadata
    end,
    phase_transitions = coalesce(lists.transitions, flow.phase_transitions),
    error_history = coalesce(lists.errors, flow.error_history),
    flow_persistence_data = case
        when not known.is_ours or jsonb_typeof(known.persistence) <> 'object' then flow.flow_persistence_data
        when held.current_phase <> ''
            then known.persistence || jsonb_build_object('current_phase', held.current_phase)
        when known.noted is not null then known.persistence - 'current_phase'
        else flow.flow_persistence_data
    end,
    updated_at = coalesce(held.updated_at, flow.updated_at),
    phase_execution_times = case
        when jsonb_typeof(times.found) <> 'object' then flow.phase_execution_times
        when jsonb_path_exists(times.found, '$.* ? (@.source == "backfill" && @.attempts > 0)')
            then held.times || (
                select jsonb_object_agg(
                    phase,
                    case
                        when timed @> '{"source": "backfill"}' and not timed @> '{"attempts": 0}'
                            then timed - '{source,evidence,time}'::text[]
                        else timed
                    end
                )
                from jsonb_each(times.found) as known (phase, timed)
            )
        when held.times = '{}' then flow.phase_execution_times
        else held.times || times.found
    end
from held
cross join lateral (
    select
        metadata,
        case jsonb_typeof(metadata -> '_enrichment') when 'object' then metadata -> '_enrichment' else '{}' end as kept
    from (select coalesce(nullif(held.flow_metadata #> '{}', 'null'), '{}') as metadata offset 0) as raw
    offset 0
) as stored
cross join lateral (
    select coalesce(nullif(held.phase_execution_times #> '{}', 'null'), '{}') as found offset 0
) as times
-- Ours is a phase that nobody reported: none is there, a backfill's start set it, or the last note did.
cross join lateral (
    select
        persistence,
        noted,
        coalesce(left(stored.kept ->> 'phase', 10) = '0000000000', true)
        and (
            persistence ->> 'current_phase' is null
            or coalesce(persistence ->> 'current_phase' in (noted, held.current_phase), false)
            or (noted is null and stored.kept ? 'phase')
        ) as is_ours
    from (
        select
            coalesce(nullif(held.flow_persistence_data #> '{}', 'null'), '{}') as persistence,
            stored.kept #>> '{backfill,current_phase}' as noted
        offset 0
    ) as read
) as known
-- Null where nothing is withdrawn.
cross join lateral (
    select
        case when held.withdrawn <> '{}' and jsonb_typeof(held.phase_transitions) = 'array' then (
            select coalesce(jsonb_agg(entry order by place), '[]')
            from jsonb_array_elements(held.phase_transitions) with ordinality as listed (entry, place)
            where not coalesce(entry #>> '{metadata,source}' = 'backfill' and entry ->> 'id' = any (held.withdrawn), false)
        ) end as transitions,
        case when held.withdrawn <> '{}' and jsonb_typeof(held.error_history) = 'array' then (
            select coalesce(jsonb_agg(entry order by place), '[]')
            from jsonb_array_elements(held.error_history) with ordinality as listed (entry, place)
            where not coalesce(entry #>> '{details,source}' = 'backfill' and entry ->> 'id' = any (held.withdrawn), false)
        ) end as errors
) as lists
where flow.flow_id = held.flow_id
