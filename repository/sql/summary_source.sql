-- Where a summary of "flow" is read: raw.metadata, known.current_phase and listing.phases, a part of the statements that include it.
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read, and what nobody selects is not read.
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
cross join lateral (
    select
        left(coalesce(
            flow.flow_persistence_data ->> 'current_phase',
            jsonb_path_query_array(flow.phase_transitions, '$[*] ? (@.status == "processing" || @.status == "active").phase') ->> -1,
            -- Where there are no transitions at all, the index is all that is left of them.
            case when flow.phase_transitions is null or flow.phase_transitions = '[]' then regexp_replace(
                jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
                '[:]processing$', ''
            ) end,
            raw.metadata #>> '{last_progress_update,current_phase}'
        ), 200) as current_phase
    offset 0
) as known
-- "phase:status" of each transition. Our index of them is taken where it fits the column at its length and at three places:
-- other programs write the column, and reading all of it costs ten times as much.
cross join lateral (
    select case
        when fit.is_good then fit.index
        when jsonb_typeof(fit.entries) = 'array' then (
            select coalesce(jsonb_agg(left(entry ->> 'phase', 100) || ':' || left(entry ->> 'status', 40) order by place), '[]')
            from jsonb_array_elements(fit.entries) with ordinality as listed (entry, place)
            where entry ->> 'phase' is not null and entry ->> 'status' is not null
        )
    end as phases
    from (
        select
            entries,
            index,
            case when jsonb_typeof(entries) = 'array' and jsonb_typeof(index) = 'array' then
                jsonb_array_length(entries) = jsonb_array_length(index)
                and (
                    select coalesce(bool_and(coalesce((entries -> at ->> 'phase') || ':' || (entries -> at ->> 'status') = index ->> at, false)), true)
                    from unnest(array[0, jsonb_array_length(entries) / 2, jsonb_array_length(entries) - 1]) as places (at)
                    where at >= 0 and at < jsonb_array_length(entries)
                )
            end as is_good
        from (select flow.phase_transitions #> '{}' as entries, raw.metadata -> 'phase_transitions' as index offset 0) as read
        offset 0
    ) as fit
    offset 0
) as listing
