-- Read what a backfill needs of these masters and of their own children, without the heavy parts; one row per child.
-- A small document comes whole. Of a bigger one come its root and its sections, in their places: small values as they are,
-- errors cut, a list that is only counted as its length, and nothing else. Shape: {"current_phase": text, "raw_data": 412, "errors": [..], "<section>": {.., "legacy_data": {..}}}.
select
    flow.flow_id,
    flow.client_account_id,
    flow.engagement_id,
    flow.flow_status,
    -- A phase that a start set has its stamp and competes by it; any other one was set by another program.
    case
        when flow.flow_metadata #> '{_enrichment,phase}' is null
            then nullif(
                flow.flow_persistence_data ->> 'current_phase',
                -- What the last backfill set there is not another program's.
                coalesce(flow.flow_metadata #>> '{_enrichment,backfill,current_phase}', '')
            )
    end as standing_phase,
    transitions.live as live_phases,
    errors.live as live_error_phases,
    transitions.synthesised || errors.synthesised as synthesised,
    array(
        select jsonb_object_keys(flow.phase_execution_times) where jsonb_typeof(flow.phase_execution_times) = 'object'
    ) as timed_phases,
    stamps.stamps,
    stamps.snapshots,
    child.child_flow_id,
    child.version,
    child.status,
    child.completed,
    child.progress,
    child.current_phase,
    child.phases_completed,
    child.error,
    child.updated_at,
    child.completed_at,
    case
        when whole.is_small then whole.root
        -- A document inside of a text is taken apart by who reads this; of one that is too long its beginning tells.
        when jsonb_typeof(whole.root) = 'string' then
            case when length(whole.root #>> '{}') <= 1000000 then whole.root else to_jsonb(left(whole.root #>> '{}', 100)) end
        else document.document
    end as document
from migration.crewai_flow_state_extensions as flow
cross join lateral (
    -- include: child
) as child

-- Entries that no backfill made are live; those of a backfill say so.
cross join lateral (
    select
        coalesce(array_agg(distinct left(entry ->> 'phase', 100)) filter (where not is_ours and entry ->> 'phase' <> ''), '{}') as live,
        coalesce(array_agg(entry ->> 'id') filter (where is_ours), '{}') as synthesised
    from jsonb_path_query(flow.phase_transitions, '$[*]') as listed (entry)
    cross join lateral (select coalesce(entry #>> '{metadata,source}' = 'backfill', false) as is_ours) as origin
) as transitions
cross join lateral (
    select
        coalesce(array_agg(distinct left(entry ->> 'phase', 100)) filter (where not is_ours and entry ->> 'phase' <> ''), '{}') as live,
        coalesce(array_agg(entry ->> 'id') filter (where is_ours), '{}') as synthesised
    from jsonb_path_query(flow.error_history, '$[*]') as listed (entry)
    cross join lateral (select coalesce(entry #>> '{details,source}' = 'backfill', false) as is_ours) as origin
) as errors
cross join lateral (
    select coalesce(jsonb_object_agg(key, coalesce(flow.flow_metadata #>> array['_enrichment', 'clocks', 'flow_metadata', key], '')), '{}') as stamps
        , coalesce(
            jsonb_object_agg(key, flow.flow_metadata -> key)
                filter (where flow.flow_metadata #>> array[key, 'source'] = 'backfill'),
            '{}'
        ) as snapshots
    from unnest(array['progress_snapshot', 'last_progress_update']) as written (key)
    where flow.flow_metadata ? key
) as stamps

-- "#> '{}'" reads a compressed document once; "offset 0" keeps what was read.
cross join lateral (
    select root, pg_column_size(root) <= 4096 as is_small
    from (select child.document #> '{}' as root offset 0) as read
    offset 0
) as whole
cross join lateral (
    select
        coalesce(jsonb_object_agg(name, part) filter (where name <> ''), '{}')
        || coalesce((array_agg(part) filter (where name = '' and jsonb_typeof(part) = 'object'))[1], '{}') as document
    from (
        select
            name,
            case
                when count(*) = 1 then (array_agg(reduced))[1]
                else (array_agg(reduced) filter (where not is_legacy))[1]
                    || jsonb_build_object('legacy_data', (array_agg(reduced) filter (where is_legacy))[1])
            end as part
        from (
            with section as materialized (
                select name, value, value -> 'legacy_data' as legacy
                from jsonb_object_keys(
                    case when not whole.is_small and jsonb_typeof(whole.root) = 'object' then whole.root else '{}' end
                ) as present (name)
                cross join lateral (select whole.root -> name as value offset 0) as found
                where regexp_replace(lower(btrim(name)), '[\s-]+', '_', 'g') = any (cast(:section_names as text[]))
            )
            select '' as name, false as is_legacy, whole.root as value where not whole.is_small
            union all
            select name, false, value from section
            union all
            select name, true, legacy from section where jsonb_typeof(legacy) = 'object'
            offset 0
        ) as holder
        cross join lateral (
            select case jsonb_typeof(holder.value)
                when 'number' then holder.value
                when 'array' then to_jsonb(jsonb_array_length(holder.value))
                -- A section that was encoded once more.
                when 'string' then case
                    when left(holder.value #>> '{}', 1) in ('{', '[', '"') and length(holder.value #>> '{}') <= 1000000
                        then holder.value
                end
                when 'object' then (
                    select coalesce(jsonb_object_agg(key, kept), '{}')
                    from jsonb_each(holder.value) as item (key, value)
                    cross join lateral (
                        select case
                            when pg_column_size(value) <= 512 then value
                            when key = 'phase_completion' and pg_column_size(value) <= 8192 then value
                            when key = 'errors' then (
                                select jsonb_agg(
                                    case jsonb_typeof(error)
                                        when 'string' then to_jsonb(left(error #>> '{}', 4000))
                                        when 'object' then jsonb_build_object(
                                            'error', left(error ->> 'error', 4000),
                                            'message', left(error ->> 'message', 4000),
                                            'error_message', left(error ->> 'error_message', 4000),
                                            'phase', left(error ->> 'phase', 100),
                                            'timestamp', left(error ->> 'timestamp', 64),
                                            'error_code', left(error ->> 'error_code', 500),
                                            'error_type', left(error ->> 'error_type', 500),
                                            'exception_type', left(error ->> 'exception_type', 500),
                                            'is_retryable', case
                                                when jsonb_typeof(error -> 'is_retryable') = 'boolean' then error -> 'is_retryable'
                                            end
                                        )
                                    end
                                )
                                from jsonb_path_query(value, '$[last - 99 to last]') as listed (error)
                            )
                            when key = any (cast(:counted_names as text[])) and jsonb_typeof(value) = 'array'
                                then to_jsonb(jsonb_array_length(value))
                        end as kept
                        offset 0
                    ) as fitting
                    where kept is not null
                )
                -- What held only heavy data was there none the less.
                || case when holder.value = '{}' then '{}'::jsonb else '{"is_present": true}' end
            end as reduced
            offset 0
        ) as reduction
        group by name
    ) as parts
) as document
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and (cast(:client_account_id as uuid) is null or flow.client_account_id = :client_account_id)
    and (cast(:engagement_id as uuid) is null or flow.engagement_id = :engagement_id)
