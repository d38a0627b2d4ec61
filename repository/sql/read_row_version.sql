-- Tell which version of a flow's row is current, and whether it is the tenant's own; returns row_version, is_own, version
-- (of the state) and holds_state (whether there is an object for it).
-- A row's version is where it stands and which transaction wrote it: it changes with every update, whoever makes it.
select
    xmin::text || ctid::text as row_version,
    client_account_id = :client_account_id and engagement_id = :engagement_id as is_own,
    case jsonb_typeof(flow_configuration -> 'version')
        when 'number' then trunc((flow_configuration ->> 'version')::numeric)
        else 0
    end as version,
    jsonb_typeof(flow_persistence_data) is not distinct from 'object' as holds_state
from migration.crewai_flow_state_extensions
where flow_id = :flow_id
