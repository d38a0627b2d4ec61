-- A part of merge_deltas.sql: of each counter its greatest amounts, of each name the 32 counters with the greatest (16 of an
-- agent and model); the row shows their sums above "base", which is what stood there before. The name of an agent and model
-- holds both, parted by a control character; the flow's is empty. The first 32 agents and models by name are kept.
left join lateral (
    select
        counted.kept,
        case when shown.agents is distinct from before.agents then jsonb_build_object('usage', shown.agents) end as agents,
        case when shown.flow is distinct from before.flow then jsonb_build_object('usage', shown.flow) end as flow
    from (
        -- What is no object stands beside ours.
        select
            case jsonb_typeof(agents) when 'object' then agents when 'null' then '{}' else jsonb_build_object('legacy', agents) end as agents,
            case jsonb_typeof(flow) when 'object' then flow when 'null' then '{}' else jsonb_build_object('legacy', flow) end as flow
        from (
            select
                coalesce(case jsonb_typeof(old.agent_performance_metrics) when 'object' then old.agent_performance_metrics -> 'usage' end, '{}') as agents,
                coalesce(stored.metadata -> 'usage', '{}') as flow
        ) as found
        offset 0
    ) as before
    cross join lateral (
        select array_agg(name) filter (where place > 32) as names
        from (
            select name, row_number() over (order by name collate "C") as place
            from (
                select jsonb_object_keys(stored.kept -> 'usage') as name
                union
                -- What is known already is neither shown nor in the way of others.
                select name
                from jsonb_each(old.usage) as told (name, items)
                where exists (
                    select from jsonb_array_elements(items) as each (item) where item ->> 3 > coalesce(stored.since, '') collate "C"
                )
            ) as known
            where name <> ''
        ) as placed
    ) as evicted
    cross join lateral (
        select
            (
                coalesce(stored.kept -> 'usage', '{}')
                || jsonb_object_agg(
                    total.name,
                    jsonb_build_object('base', total.base, 'by', total.by)
                    || case when total.lower is null then '{}' else jsonb_build_object('from', total.lower) end
                    || case when total.is_full then '{"at_least": true}'::jsonb else '{}' end
                ) filter (where total.counters > 0)
            ) - coalesce(evicted.names, '{}') as kept,
            jsonb_object_agg(
                total.name,
                jsonb_build_object(
                    'calls', total.sums -> 0, 'input_tokens', total.sums -> 1, 'output_tokens', total.sums -> 2,
                    'cost_usd', case
                        when (total.sums ->> 3)::numeric <> 0 or (total.sums ->> 4)::numeric = 0
                            then trim_scale((total.sums ->> 3)::numeric * 0.000000001)
                    end,
                    'unpriced_calls', total.sums -> 4
                )
                || case when total.is_full then '{"at_least": true}'::jsonb else '{}' end
            ) filter (where total.counters > 0) as figures
        from (
            select
                named.name,
                standing.base,
                joined.*,
                joined.counters >= bound.counters as is_full,
                (
                    select jsonb_agg(
                        trim_scale(case
                            when joined.counters >= bound.counters then summed.amount
                            -- An older copy of the bookkeeping may have been written back.
                            else greatest(summed.amount, (standing.shown ->> part)::numeric)
                        end)
                        order by part
                    )
                    from generate_series(0, 4) as part
                    cross join lateral (
                        select (standing.base ->> part)::numeric
                            + coalesce((select sum((upper ->> part)::numeric) from jsonb_each(joined.by) as highest (counter, upper)), 0)
                            - coalesce((select sum((lower ->> part)::numeric) from jsonb_each(joined.lower) as lowest (counter, lower)), 0)
                            as amount
                    ) as summed
                ) as sums
            from jsonb_each(old.usage) as named (name, items)
            cross join lateral (select case named.name when '' then 32 else 16 end as counters) as bound
            cross join lateral (
                select
                    shown.amounts as shown,
                    coalesce(
                        stored.kept #> array['usage', named.name, 'base'],
                        case when named.name = '' then (
                            -- Of a flow whose own figures are gone, what its agents show.
                            select jsonb_agg(greatest((shown.amounts ->> part)::numeric, amount) order by part)
                            from (
                                select part, coalesce(sum((amounts.amounts ->> part)::numeric), 0) as amount
                                from generate_series(0, 4) as part
                                left join (
                                    jsonb_each(before.agents) as agent (name, models)
                                    cross join lateral jsonb_each(case jsonb_typeof(agent.models) when 'object' then agent.models else '{}' end) as model (name, found)
                                    cross join lateral (
                                        -- include: merge_usage_amounts
                                    ) as amounts
                                ) on true
                                group by part
                            ) as of_agents
                        ) end,
                        shown.amounts
                    ) as base
                from (
                    select case named.name
                        when '' then before.flow
                        else before.agents -> split_part(named.name, chr(31), 1) -> split_part(named.name, chr(31), 2)
                    end as found
                ) as model
                cross join lateral (
                    -- include: merge_usage_amounts
                ) as shown
                offset 0
            ) as standing
            cross join lateral (
                select
                    count(*) as counters,
                    coalesce(jsonb_object_agg(counter, upper), '{}') as by,
                    jsonb_object_agg(counter, lower) filter (where lower is not null) as lower
                from (
                    select
                        counter,
                        (array_agg(upper order by upper desc))[1] as upper,
                        case when stored.since is not null then (array_agg(lower order by lower) filter (where lower is not null))[1] end as lower
                    from (
                        select counter, upper, stored.kept #> array['usage', named.name, 'from', counter] as lower
                        from jsonb_each(stored.kept #> array['usage', named.name, 'by']) as known (counter, upper)
                        union all
                        select item ->> 0, item -> 1, item -> 2
                        from jsonb_array_elements(named.items) as told (item)
                        where item ->> 3 > coalesce(stored.since, '') collate "C"
                    ) as told
                    group by counter
                    order by (array_agg(upper order by upper desc))[1] desc, counter collate "C"
                    limit bound.counters
                ) as highest
            ) as joined
        ) as total
    ) as counted
    cross join lateral (
        select
            before.flow || coalesce(counted.figures -> '', '{}') as flow,
            (before.agents - coalesce(array_agg(agent), '{}'))
            || coalesce(jsonb_object_agg(agent, models) filter (where models <> '{}'), '{}') as agents
        from (
            select
                agent,
                (
                    case jsonb_typeof(before.agents -> agent)
                        when 'object' then before.agents -> agent
                        when 'null' then '{}'
                        else case when before.agents ? agent then jsonb_build_object('legacy', before.agents -> agent) else '{}' end
                    end
                    || coalesce(jsonb_object_agg(model, figures) filter (where not is_evicted), '{}')
                ) - coalesce(array_agg(model) filter (where is_evicted), '{}') as models
            from (
                select
                    split_part(name, chr(31), 1) as agent,
                    split_part(name, chr(31), 2) as model,
                    counted.figures -> name as figures,
                    name = any (coalesce(evicted.names, '{}')) as is_evicted
                from (
                    select name from jsonb_object_keys(counted.figures) as told (name)
                    union
                    select name from unnest(evicted.names) as beyond (name)
                ) as touched
                where name <> ''
            ) as named
            group by agent
        ) as changed
    ) as shown
    limit (old.usage is not null)::int
) as usage on true
