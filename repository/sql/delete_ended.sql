-- Delete these flows, which are locked, but for those that other rows name; returns flow_id.
delete from migration.crewai_flow_state_extensions as flow
where
    flow.flow_id = any (cast(:flow_ids as uuid[]))
    and
    -- include: unnamed
returning flow.flow_id
