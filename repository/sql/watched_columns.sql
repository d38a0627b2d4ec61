-- What the watch asks of "flow": whose it is, how it stands, when it was last heard of; a part of the statements that include it.
    flow.flow_id, flow.client_account_id, flow.engagement_id, flow.user_id, flow.flow_status, flow.updated_at,
    flow.flow_persistence_data ->> 'current_phase' as current_phase,
    raw.metadata #>> '{_enrichment,newest}' as newest,
    raw.metadata -> 'lost' as lost,
    raw.metadata -> 'failed_as_lost' as failed_as_lost,
    -- include: is_lost
    as is_lost
