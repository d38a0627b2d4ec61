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
        select lists.is_append and jsonb_array_length(known.phases) = lists.transitions_before
            and coalesce(right(known.phases ->> -1, 20) = right((lists.last_transition ->> 'phase') || ':' || (lists.last_transition ->> 'status'), 20), true)
            as is_append
        offset 0
    ) as trusted
    limit (lists.phase_transitions is not null)::int
) as listing on true
