-- Tell which of these flow ids have a row of any tenant; returns flow_id, client_account_id, engagement_id.
select flow_id, client_account_id, engagement_id
from migration.crewai_flow_state_extensions
where flow_id = any (cast(:flow_ids as uuid[]))
