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
    child.progress_percentage,
    child.current_phase,
    child.phases_completed,
    child.error,
    child.updated_at,
    child.completed_at,
    case
        when whole.is_small then whole.root
        -- A whole document inside of a text is not read, and told.
        when jsonb_typeof(whole.root) = 'string' then to_jsonb(left(whole.root #>> '{}', 100))
        else document.document
    end as document
from migration.crewai_flow_state_extensions as flow
-- Where the child's table lacks this later column, its name finds this one.
cross join (select null::boolean as data_validation_completed) as absent
cross join lateral (
    select
        child.flow_id as child_flow_id,
        cast(:rules as text) || child.xmin::text as version,
        child.status,
        child.progress_percentage,
        child.current_phase,
        child.updated_at,
        child.completed_at,
        child.crewai_state_data,
        array[
            child.data_import_completed,
            data_validation_completed,
            child.field_mapping_completed,
            child.data_cleansing_completed,
            child.asset_inventory_completed,
            child.dependency_analysis_completed,
            child.tech_debt_assessment_completed
        ] as completed,
        case when pg_column_size(child.phases_completed) <= 8192 then child.phases_completed end as phases_completed,
        case
            when coalesce(child.error_message, child.error_phase, child.error_details::text) is not null then jsonb_build_object(
                'message', left(child.error_message, 4000),
                'phase', child.error_phase,
                'details', case when pg_column_size(child.error_details) <= 8192 then child.error_details end
            )
        end as error
    from migration.discovery_flows as child
    where
        (child.master_flow_id = flow.flow_id or (child.flow_id = flow.flow_id and child.master_flow_id is null))
        and child.client_account_id = flow.client_account_id
        and child.engagement_id = flow.engagement_id
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
    from (select child.crewai_state_data #> '{}' as root offset 0) as read
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
                from unnest(cast(:section_names as text[])) as known (name)
                cross join lateral (select whole.root -> name as value offset 0) as found
                where not whole.is_small and whole.root ? name
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
