-- Find flows of all tenants that the watch has failed and that have changed within ten minutes; returns the columns of the watch.
select * from (
    select
        -- include: watched_columns
    from migration.crewai_flow_state_extensions as flow
    cross join lateral (select flow.flow_metadata #> '{}' as metadata offset 0) as raw
    where flow.flow_status = 'failed' and flow.updated_at > now() - interval '10 minutes'
) as watched
where jsonb_typeof(failed_as_lost) = 'object'
order by updated_at, flow_id
limit :most
