-- Read what is known of one flow without its lists; returns what a summary is made of, listed, times, agents, memory and three counts.
select
    -- include: summary_columns
    ,
    case when jsonb_typeof(lists.transitions) = 'array' then (
        select coalesce(
            jsonb_agg(left(entry ->> 'phase', 100) || ':' || left(entry ->> 'status', 40) order by place)
                filter (where entry ->> 'phase' is not null and entry ->> 'status' is not null),
            '[]'
        )
        from jsonb_array_elements(lists.transitions) with ordinality as listed (entry, place)
    ) else raw.metadata -> 'phase_transitions' end as listed,
    flow.phase_execution_times as times,
    case when jsonb_typeof(lists.transitions) = 'array' then jsonb_array_length(lists.transitions) else 0 end as transition_count,
    case when jsonb_typeof(lists.errors) = 'array' then jsonb_array_length(lists.errors) else 0 end as error_count,
    case when jsonb_typeof(lists.collaborations) = 'array' then jsonb_array_length(lists.collaborations) else 0 end as collaboration_count
from migration.crewai_flow_state_extensions as flow
-- include: summary_source
-- "#> '{}'" reads a compressed column once; "offset 0" keeps what was read.
cross join lateral (
    select
        flow.phase_transitions #> '{}' as transitions,
        flow.error_history #> '{}' as errors,
        flow.agent_collaboration_log #> '{}' as collaborations
    offset 0
) as lists
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and flow.engagement_id = any (cast(:engagement_ids as uuid[]))
