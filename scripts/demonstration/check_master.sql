-- Verify master orchestration data is populated
SELECT flow_status, flow_persistence_data->>'current_phase' AS current_phase,
       jsonb_array_length(flow_metadata->'phase_transitions') AS transitions_count,
       jsonb_object_keys(phase_execution_times) AS phases_timed
FROM migration.crewai_flow_state_extensions
WHERE flow_id = :flow_id::uuid AND client_account_id = :client::uuid;
