-- Read which flows of these accounts are open, and the database's own time; returns now, flow_ids. It always returns one row.
select
    clock_timestamp() as now,
    array(
        select flow_id
        from migration.crewai_flow_state_extensions
        where
            client_account_id = any (cast(:client_account_ids as uuid[]))
            and flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')
        limit :most
    ) as flow_ids
