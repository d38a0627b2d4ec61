-- Return the tenant of some master row, if there is one that we see: client_account_id, engagement_id.
select client_account_id, engagement_id from migration.crewai_flow_state_extensions limit 1
