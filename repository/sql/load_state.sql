-- Read a flow's state, with the row's status if that changed after the last save; returns row_version, version, state, stamp, times.
-- stamp is the newest one of the bookkeeping, times are those of the newest entries: together the newest time known of the flow.
select
    flow.xmin::text || flow.ctid::text as row_version,
    case jsonb_typeof(flow.flow_configuration -> 'version')
        when 'number' then trunc((flow.flow_configuration ->> 'version')::numeric)
        else 0
    end as version,
    (case when stored.status_stamp collate "C" > stored.state_stamp collate "C"
        then stored.state || jsonb_build_object('status', flow.flow_status)
        else stored.state
    end)::text as state,
    (
        select max(found #>> '{}' collate "C")
        from jsonb_path_query(stored.kept, 'strict $.** ? (@.type() == "string" && @ like_regex "^[0-9]{16}[0-9a-f]{32}$")') as found
    ) as stamp,
    jsonb_build_array(
        flow.phase_transitions -> -1 -> 'timestamp',
        flow.error_history -> -1 -> 'timestamp',
        flow.agent_collaboration_log -> -1 -> 'timestamp'
    ) as times
from migration.crewai_flow_state_extensions as flow
cross join lateral (select coalesce(flow.flow_metadata -> '_enrichment', '{}') as kept) as bookkeeping
cross join lateral (
    select
        bookkeeping.kept,
        case jsonb_typeof(flow.flow_persistence_data) when 'object'
            then flow.flow_persistence_data - cast(:not_state as text[])
            else '{}'
        end as state,
        greatest(bookkeeping.kept #>> '{status,latest,0}', bookkeeping.kept #>> '{status,final,0}') as status_stamp,
        coalesce(bookkeeping.kept #>> '{state,stamp}', '') as state_stamp
    offset 0
) as stored
where
    flow.flow_id = :flow_id
    and flow.client_account_id = :client_account_id
    and flow.engagement_id = :engagement_id
