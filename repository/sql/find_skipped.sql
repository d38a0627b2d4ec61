-- Return which of these rows a trigger keeps from being updated: where there is one that may, an update without a change is tried.
with may_skip as (
    select
    from pg_trigger
    where
        tgrelid = to_regclass('migration.crewai_flow_state_extensions')
        and not tgisinternal
        and tgenabled <> 'D'
        and tgtype & 19 = 19  -- for each row, before, update
    limit 1
),

tried as (
    update migration.crewai_flow_state_extensions as flow
    set flow_id = flow.flow_id
    where flow.flow_id = any(cast(:flow_ids as uuid[])) and exists (select from may_skip)
    returning flow.flow_id
)

select unchanged.flow_id
from unnest(cast(:flow_ids as uuid[])) as unchanged (flow_id)
where exists (select from may_skip) and not exists (select from tried where tried.flow_id = unchanged.flow_id)
