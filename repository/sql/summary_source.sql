-- Where a summary of "flow" is read: raw.metadata and known.current_phase, a part of the statements that include it.
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
cross join lateral (
    select
        coalesce(
            flow.flow_persistence_data ->> 'current_phase',
            regexp_replace(
                jsonb_path_query_array(raw.metadata, '$.phase_transitions[*] ? (@ like_regex "[:]processing$")') ->> -1,
                '[:]processing$', ''
            ),
            raw.metadata #>> '{last_progress_update,current_phase}'
        ) as current_phase
    offset 0
) as known
