-- A part of merge_deltas.sql: "raw" is flow_metadata, read once; "held" finds what of the bookkeeping has not the type it
-- must have, which is set aside and made anew; "stored" is what remains, and since when the row is known.

-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
cross join lateral (select old.flow_metadata #> '{}' as metadata offset 0) as raw

cross join lateral (
    select case when jsonb_typeof(raw.metadata -> '_enrichment') = 'object' then raw.metadata -> '_enrichment' end as found offset 0
) as book
cross join lateral (
    select
        case jsonb_typeof(raw.metadata) when 'object' then raw.metadata else '{}' end as metadata,
        book.found,
        array_remove(array[
            case when book.found @@ '$.clocks.type() != "object" || $.clocks.*.type() != "object" || $.clocks.*.*.type() != "string"' then 'clocks' end,
            case when book.found @@ '$.counts.type() != "object" || $.counts.*.type() != "object" || $.counts.*.base.type() != "number"
                || $.counts.*.by.type() != "object" || $.counts.*.by.*.type() != "number"
                || $.counts.*.from.type() != "object" || $.counts.*.from.*.type() != "number"' then 'counts' end,
            case when book.found @@ '$.usage.type() != "object" || $.usage.*.type() != "object"
                || $.usage.*.base.type() != "array" || $.usage.*.base.size() != 5 || $.usage.*.base[*].type() != "number"
                || $.usage.*.by.type() != "object" || $.usage.*.by.*.type() != "array" || $.usage.*.by.*.size() != 5 || $.usage.*.by.*[*].type() != "number"
                || $.usage.*.from.type() != "object" || $.usage.*.from.*.type() != "array" || $.usage.*.from.*.size() != 5
                || $.usage.*.from.*[*].type() != "number"' then 'usage' end,
            case when book.found @@ '$.status.type() != "object" || $.status.latest.type() != "array" || $.status.final.type() != "array"
                || $.status.spoken.type() != "array" || $.status.*[*].type() != "string"' then 'status' end,
            case when book.found @@ '$.retries.type() != "array" || $.retries[*].type() != "string"' then 'retries' end,
            case when book.found @@ '$.timings.type() != "array" || $.timings[*].type() != "string"' then 'timings' end,
            case when book.found @@ '$.sorted.type() != "array"' then 'sorted' end,
            case when book.found @@ '$.phase.type() != "string"' then 'phase' end,
            case when book.found @@ '$.newest.type() != "string"' then 'newest' end,
            case when book.found @@ '$.since.type() != "string"' then 'since' end,
            case when book.found @@ '$.displaced.type() != "object"' then 'displaced' end
        ], null) as broken
    offset 0
) as held
cross join lateral (
    select
        held.metadata,
        known.kept,
        -- A row that was merged into and has no bookkeeping lost it to a writer of the whole column:
        -- what is older than that writing counts as known.
        coalesce(known.kept ->> 'since', case
            when
                held.found is null and old.updated_at > old.created_at
                and (
                    old.retry_count > 0
                    or old.phase_transitions -> -1 ? 'id' or old.error_history -> -1 ? 'id' or old.agent_collaboration_log -> -1 ? 'id'
                    or jsonb_path_exists(old.phase_execution_times, '$.*.attempts')
                    or jsonb_path_exists(old.agent_performance_metrics, '$.usage.*.*.calls')
                )
                then changed.stamp
        end) as since,
        changed.stamp as changed
    from (select coalesce(held.found, '{}') - held.broken as kept offset 0) as known
    cross join lateral (
        -- As a numeric, which takes every time: one that is infinite sorts before all others.
        select lpad(trunc(extract(epoch from old.updated_at) * 1000000)::text, 16, '0') || '~' as stamp
        offset 0
    ) as changed
    offset 0
) as stored
