-- Read the small facts of the child row of one flow, never its documents; the newest one if a flow has several.
-- A child is linked by master_flow_id, or in rows that have none by its own flow_id.
select
    status,
    current_phase,
    progress_percentage,
    error_phase,
    updated_at,
    completed_at,
    data_import_completed::int + field_mapping_completed::int + data_cleansing_completed::int
    + asset_inventory_completed::int + dependency_analysis_completed::int + tech_debt_assessment_completed::int as completed_phases,
    case when json_typeof(discovered_assets) = 'array' then json_array_length(discovered_assets) end as discovered_assets
from migration.discovery_flows
where
    (master_flow_id = :flow_id or (master_flow_id is null and flow_id = :flow_id))
    and client_account_id = :client_account_id
    and engagement_id = any (cast(:engagement_ids as uuid[]))
order by updated_at desc
limit 1
