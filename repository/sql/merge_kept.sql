-- A part of merge_deltas.sql: what stood in a column as another type of JSON is set aside whole, and so is what is broken
-- of the bookkeeping; then the bookkeeping as it is to be.
cross join lateral (
    select
        case when jsonb_typeof(raw.metadata) not in ('object', 'null') then jsonb_build_object('flow_metadata', raw.metadata) else '{}' end
        || case
            when held.found is null and jsonb_typeof(raw.metadata) = 'object' and raw.metadata ? '_enrichment'
                then jsonb_build_object('_enrichment', raw.metadata -> '_enrichment')
            when held.broken <> '{}' then jsonb_build_object(
                '_enrichment', (select jsonb_object_agg(name, held.found -> name) from unnest(held.broken) as part (name))
            )
            else '{}'
        end
        || coalesce(lists.displaced, '{}')
        || coalesce(maps.displaced, '{}')
        || coalesce(noted.displaced, '{}')
        || case
            when
                maps.clocks -> 'flow_metadata' ? 'lost' and not coalesce(stored.kept #> '{clocks,flow_metadata}' ? 'lost', false)
                and stored.metadata -> 'lost' <> 'null'
                then jsonb_build_object('flow_metadata.lost', stored.metadata -> 'lost')
            else '{}'
        end
        || case
            when old.usage is not null and jsonb_typeof(old.agent_performance_metrics) not in ('object', 'null')
                then jsonb_build_object('agent_performance_metrics', old.agent_performance_metrics)
            else '{}'
        end
        || case when times.displaced is null then '{}' else jsonb_build_object('phase_execution_times', times.displaced) end
        || case when started.displaced is null then '{}' else jsonb_build_object('flow_persistence_data', started.displaced) end
        as columns
    offset 0
) as displaced

cross join lateral (
    select known.kept, known.kept is distinct from held.found as is_new
    from (
        select
            stored.kept
            || coalesce(windows.marks, '{}')
            || case when maps.clocks is null then '{}' else jsonb_build_object('clocks', coalesce(stored.kept -> 'clocks', '{}') || maps.clocks) end
            || case
                -- What is no stamp sorts after all of them and counts as none.
                when old.newest > coalesce(
                    case when stored.kept ->> 'newest' < ';' collate "C" then nullif(stored.kept ->> 'newest', '') end, stored.since, ''
                ) collate "C"
                    then jsonb_build_object('newest', old.newest)
                else '{}'
            end
            || case when start.is_newer then jsonb_build_object('phase', old.started -> 0) else '{}' end
            || jsonb_build_object('status', status.kept || jsonb_build_object('wrote', status.flow_status))
            || case
                when counts.kept is null then '{}'
                else jsonb_build_object('counts', (coalesce(stored.kept -> 'counts', '{}') || counts.kept) - coalesce(times.evicted, '{}'))
            end
            || case when usage.kept is null then '{}' else jsonb_build_object('usage', usage.kept) end
            || case
                when lists.newly_sorted is null then '{}'
                else jsonb_build_object('sorted', (
                    select jsonb_agg(name order by name)
                    from jsonb_array_elements_text(coalesce(stored.kept -> 'sorted', '[]') || lists.newly_sorted) as sorted (name)
                ))
            end
            || case when stored.since is null then '{}' else jsonb_build_object('since', stored.since) end
            || case
                when displaced.columns = '{}' then '{}'
                else jsonb_build_object('displaced', (
                    -- The first that stood in a column, and the newest.
                    select displaced.columns || before.first || coalesce(
                        jsonb_object_agg(name || ' (newest)', value) filter (where before.first -> name <> value), '{}'
                    )
                    from (select coalesce(stored.kept -> 'displaced', '{}') as first) as before
                    cross join lateral jsonb_each(displaced.columns) as column_of (name, value)
                    group by before.first
                ))
            end as kept
        offset 0
    ) as known
    offset 0
) as bookkeeping
