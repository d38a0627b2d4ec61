-- Mark a discovery flow's data validation as complete, where the table has that column.
update migration.discovery_flows
set data_validation_completed = true
where
    flow_id = :flow_id
    and client_account_id = :client_account_id
    and engagement_id = :engagement_id
