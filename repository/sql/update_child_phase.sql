-- Note a phase in a discovery flow's row; returns master_flow_id, user_id, progress_percentage, fresh_insights.
-- :data joins what crewai_state_data holds of the phase, key by key; an insight that is there already is not added again.
-- Progress is :percents[n] with n phases of the flow's course complete, 100 once the flow is finalized, and never goes back.
with held as materialized (
    -- No join in here: a lock that had to wait reads this row again, but nothing that is joined to it.
    select
        id,
        -- include: held_flags
        crewai_state_data
    from migration.discovery_flows
    where
        flow_id = :flow_id
        and client_account_id = :client_account_id
        and engagement_id = :engagement_id
    for no key update
),

stored as materialized (
    select
        known.document,
        case coalesce(jsonb_typeof(known.section), 'null')
            when 'object' then known.section
            when 'null' then '{}'
            else jsonb_build_object('displaced', known.section)
        end as section,
        case coalesce(jsonb_typeof(known.insights), 'null')
            when 'array' then known.insights
            when 'null' then '[]'
            else jsonb_build_array(known.insights)
        end as insights
    from (
        select
            document,
            document -> cast(:phase as text) as section,
            document -> 'agent_insights' as insights
        from (
            select case jsonb_typeof(crewai_state_data)
                when 'object' then crewai_state_data
                when 'null' then '{}'
                else jsonb_build_object('displaced', crewai_state_data)
            end as document
            from held
            offset 0
        ) as child
    ) as known
),

fresh as materialized (
    select coalesce(jsonb_agg(reported.insight order by reported.position), '[]') as insights
    from (
        select distinct on (insight) insight, position
        from jsonb_array_elements(cast(:insights as jsonb)) with ordinality as given (insight, position)
        order by insight, position
    ) as reported
    where not exists (
        select from stored cross join lateral jsonb_array_elements(stored.insights) as present (insight)
        where present.insight = reported.insight
    )
)

update migration.discovery_flows as flow
set
    -- include: set_flags
    current_phase = :phase,
    progress_percentage = greatest(
        case when flow.progress_percentage between 0 and 100 then flow.progress_percentage else 0 end,
        case when :is_finalized then 100 else (cast(:percents as double precision[]))[
            -- include: complete
            + 1
        ] end
    ),
    crewai_state_data = stored.document
    || case when cast(:data as jsonb) is null then '{}'
        else jsonb_build_object(cast(:phase as text), stored.section || cast(:data as jsonb)) end
    || case when fresh.insights = '[]' then '{}'
        else jsonb_build_object('agent_insights', stored.insights || fresh.insights) end,
    updated_at = clock_timestamp()
from held, stored, fresh
where flow.id = held.id
returning
    coalesce(flow.master_flow_id, flow.flow_id) as master_flow_id,
    flow.user_id,
    flow.progress_percentage,
    fresh.insights as fresh_insights
