-- Save a flow's state as its next version, if the current one is :version (null: whatever it is); returns version.
-- What others keep in the same columns stays. A key of the state saved before, which this one lacks, goes: the names of
-- a state's keys are remembered in flow_metadata._enrichment.state, unless they would take more than 16 KB there.
with held as materialized (
    -- No join in here: a lock that had to wait reads this row again, but nothing that is joined to it.
    select id, flow_persistence_data, flow_configuration, flow_metadata
    from migration.crewai_flow_state_extensions
    where
        flow_id = :flow_id
        and client_account_id = :client_account_id
        and engagement_id = :engagement_id
    for no key update
),

stored as materialized (
    select
        known.*,
        case jsonb_typeof(known.configuration -> 'version')
            when 'number' then trunc((known.configuration ->> 'version')::numeric)
            else 0
        end as version,
        case jsonb_typeof(known.metadata -> '_enrichment')
            when 'object' then known.metadata -> '_enrichment' else '{}'
        end as kept
    from (
        select
            id,
            case jsonb_typeof(flow_persistence_data) when 'object' then flow_persistence_data else '{}' end as persistence,
            case jsonb_typeof(flow_configuration) when 'object' then flow_configuration else '{}' end as configuration,
            case jsonb_typeof(flow_metadata) when 'object' then flow_metadata else '{}' end as metadata,
            (
                select jsonb_object_agg(name, value)
                from (
                    values
                    ('flow_persistence_data', flow_persistence_data),
                    ('flow_configuration', flow_configuration),
                    ('flow_metadata', flow_metadata)
                ) as found (name, value)
                where jsonb_typeof(value) not in ('object', 'null')
            ) as displaced
        from held
        offset 0
    ) as known
),

incoming as materialized (
    select state, case when octet_length(keys::text) <= 16384 then keys else '[]' end as keys
    from (select cast(:state as jsonb) as state offset 0) as given
    cross join lateral (select coalesce(jsonb_agg(key), '[]') as keys from jsonb_object_keys(given.state) as key) as named
)

update migration.crewai_flow_state_extensions as flow
set
    flow_persistence_data = (
        stored.persistence - array(select jsonb_array_elements_text(coalesce(stored.kept #> '{state,keys}', '[]')))
    ) || incoming.state || jsonb_build_object('current_phase', cast(:phase as text)),
    flow_configuration = stored.configuration
    || case
        -- Someone's own "version" that is no number is theirs: it moves.
        when jsonb_typeof(stored.configuration -> 'version') <> 'number'
            then jsonb_build_object('configured_version', stored.configuration -> 'version')
        else '{}'
    end
    || jsonb_build_object('version', stored.version + 1),
    flow_metadata = stored.metadata || jsonb_build_object(
        '_enrichment',
        stored.kept
        || jsonb_build_object(
            'phase', greatest(stored.kept ->> 'phase' collate "C", cast(:stamp as text) collate "C"),
            -- A status that is there already is older than this save, whatever another host's clock said.
            'state', jsonb_build_object(
                'stamp', greatest(
                    stored.kept #>> '{status,latest,0}' collate "C",
                    stored.kept #>> '{status,final,0}' collate "C",
                    cast(:stamp as text) collate "C"
                ),
                'keys', incoming.keys
            )
        )
        || case
            when stored.displaced is null then '{}'
            else jsonb_build_object('displaced', coalesce(stored.kept -> 'displaced', '{}') || stored.displaced)
        end
    ),
    updated_at = clock_timestamp()
from stored, incoming
where flow.id = stored.id and stored.version = coalesce(cast(:version as numeric), stored.version)
returning stored.version + 1 as version
