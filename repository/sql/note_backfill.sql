-- Note which version of its child each master has been given, and the times it lacked; locks the rows in flow_id order.
-- A phase that has a time keeps it. Where a live time has taken the place of a backfilled one, the marks of that go.
with note as (
    select *
    from jsonb_to_recordset(cast(:notes as jsonb)) as note (
        flow_id uuid, client_account_id uuid, engagement_id uuid,
        version text,
        times jsonb  -- {phase: {"execution_time_ms", "attempts": 0, "time", "source", "evidence"}}
    )
),

held as materialized (
    select note.*, flow.phase_execution_times, flow.flow_metadata
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
                '_enrichment', stored.kept || jsonb_build_object('backfill', jsonb_build_object('version', held.version))
            )
        else flow.flow_metadata
    end,
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
where flow.flow_id = held.flow_id
