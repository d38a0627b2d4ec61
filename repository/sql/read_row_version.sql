-- Tell which version of a flow's row is current, and whether it is the tenant's own; returns row_version, is_own.
-- A row's version is where it stands and which transaction wrote it: it changes with every update, whoever makes it.
select
    xmin::text || ctid::text as row_version,
    client_account_id = :client_account_id and engagement_id = :engagement_id as is_own
from migration.crewai_flow_state_extensions
where flow_id = :flow_id
