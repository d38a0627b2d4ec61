-- Confirm child has detailed payloads
SELECT progress_percentage, current_phase,
       jsonb_typeof(crewai_state_data) AS state_type
FROM migration.discovery_flows
WHERE flow_id = :flow_id::uuid AND client_account_id = :client::uuid;
