-- Return the columns of a master row that do not hold what a merge has just written there; every value of it bears :mark.
select array_remove(array[
    case when strpos(phase_transitions::text, :mark) > 0 then null else 'phase_transitions' end,
    case when strpos(error_history::text, :mark) > 0 then null else 'error_history' end,
    case when strpos(agent_collaboration_log::text, :mark) > 0 then null else 'agent_collaboration_log' end,
    case when strpos(phase_execution_times::text, :mark) > 0 then null else 'phase_execution_times' end,
    case when strpos(memory_usage_metrics::text, :mark) > 0 then null else 'memory_usage_metrics' end,
    case when strpos(agent_performance_metrics::text, :mark) > 0 then null else 'agent_performance_metrics' end,
    case when strpos(flow_persistence_data::text, :mark) > 0 then null else 'flow_persistence_data' end,
    case when strpos((flow_metadata - '_enrichment')::text, :mark) > 0 and flow_metadata ?& array['_enrichment', 'lost', 'overdue', 'control'] then null else 'flow_metadata' end,
    case when flow_status = 'processing' then null else 'flow_status' end,
    case when retry_count = 1 then null else 'retry_count' end
], null) as changed
from migration.crewai_flow_state_extensions
where flow_id = :flow_id
