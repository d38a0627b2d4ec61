-- Find lost flows of all tenants, those that nothing has changed for longest first; returns the columns of the watch.
select * from (
    select
        -- include: watched_columns
    from migration.crewai_flow_state_extensions as flow
    cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
    where flow.flow_status in ('initialized', 'active', 'processing')
) as watched
where is_lost
order by updated_at, flow_id
limit :most
