-- Where a summary of "flow" is read: raw.metadata, known.current_phase and listing, a part of the statements that include it.
-- include: flow_source
-- Phase and status of each transition, from the entries themselves: other programs write the column and leave our index of
-- it alone. Taken by paths, which do not touch the rest of an entry, both cost a tenth of what unpacking the entries does.
cross join lateral (
    select
        case when pg_column_size(found.phases) <= 20000 then found.phases else (
            select jsonb_agg(left(phase, 100) order by place)
            from jsonb_array_elements_text(found.phases) with ordinality as named (phase, place)
        ) end as phases,
        case when pg_column_size(found.statuses) <= 20000 then found.statuses else (
            select jsonb_agg(left(status, 40) order by place)
            from jsonb_array_elements_text(found.statuses) with ordinality as named (status, place)
        ) end as statuses
    from (
        select
            case when is_even then phases
                else jsonb_path_query_array(entries, 'strict $[*] ? (exists(@.phase) && exists(@.status)).phase', '{}', true)
            end as phases,
            case when is_even then statuses
                else jsonb_path_query_array(entries, 'strict $[*] ? (exists(@.phase) && exists(@.status)).status', '{}', true)
            end as statuses
        from (
            select
                *,
                jsonb_typeof(entries) = 'array'
                and jsonb_array_length(phases) = jsonb_array_length(entries)
                and jsonb_array_length(statuses) = jsonb_array_length(entries) as is_even
            from (
                select
                    entries,
                    jsonb_path_query_array(entries, '$[*].phase') as phases,
                    jsonb_path_query_array(entries, '$[*].status') as statuses
                from (select flow.phase_transitions #> '{}' as entries offset 0) as read
                offset 0
            ) as taken
            offset 0
        ) as compared
        offset 0
    ) as found
    offset 0
) as listing
