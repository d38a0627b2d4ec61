-- A part of merge_deltas.sql: "phase:status" of the transitions, for readers who leave the big column alone.
left join lateral (
    select jsonb_path_query_array(
        case when is_append then known.phases else '[]' end || (
            select jsonb_agg(
                case
                    when octet_length(phase) <= 60 or octet_length(to_jsonb(phase)::text) <= 122 then phase
                    when octet_length(to_jsonb(left(phase, 60))::text) <= 122 then left(phase, 60)
                    else left(phase, 20)
                end || ':' || left(coalesce(entry ->> 'status', '?'), 40)
                order by position
            )
            from jsonb_array_elements(case when is_append then old.transitions else lists.phase_transitions end)
                with ordinality as added (entry, position)
            cross join lateral (select coalesce(entry ->> 'phase', '?') as phase) as named
        ),
        '$[last - 99 to last]'
    ) as phases
    from (
        select case jsonb_typeof(stored.metadata -> 'phase_transitions')
            when 'array' then stored.metadata -> 'phase_transitions' else '[]'
        end as phases
    ) as known
    cross join lateral (
        -- Somebody may have written the list over ours: every entry has to be the one that is listed. Names that the
        -- index cuts count as others, and so do entries without one: then it is made anew.
        select lists.is_append and not exists (
            select
            from rows from (
                jsonb_array_elements_text(lists.phases_before),
                jsonb_array_elements_text(lists.statuses_before),
                jsonb_array_elements_text(known.phases)
            ) as seen (phase, status, word)
            where phase || ':' || status is distinct from word
        ) as is_append
        offset 0
    ) as trusted
    limit (lists.phase_transitions is not null)::int
) as listing on true
