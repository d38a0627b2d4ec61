-- A part of merge_deltas.sql: what was asked of the flow and by it ("control"), and which deadlines passed ("overdue"): of
-- each family of entries the newest by (timestamp, id). The newest of a family stay whole until those before them take its
-- "whole" bytes; the others lose what is long. "places" says how many keys of the map have to make room for them.
left join lateral (
    select
        jsonb_object_agg(list.name, bounded.entries) filter (where list.fresh is not null and bounded.entries is distinct from list.was) as metadata,
        -- What is none of ours is set aside whole, with what stood beside it.
        jsonb_object_agg('flow_metadata.' || list.name, list.was) filter (
            where list.fresh is not null and list.was <> 'null'
            and case jsonb_typeof(list.was) when 'array' then jsonb_array_length(list.was) > bounded.known else true end
        ) as displaced,
        least(sum(bounded.kept), 36) as places
    from (
        values ('control', old.control, stored.metadata -> 'control'), ('overdue', old.overdue, stored.metadata -> 'overdue')
    ) as list (name, fresh, was)
    cross join lateral (
        select
            count(*) filter (where placed.place <= placed.most) as kept,
            coalesce(sum(placed.known), 0) as known,
            jsonb_agg(
                case
                    when placed.before < placed.whole then placed.entry
                    else (
                        -- include: merge_short_request
                    )
                end
                order by placed.moment collate "C", placed.id collate "C"
            ) filter (where placed.place <= placed.most) as entries
        from (
            select
                each.*,
                row_number() over newest as place,
                sum(octet_length(each.entry::text)) over newest - octet_length(each.entry::text) as before
            from (
                -- Of two of one time and id, what stands there already.
                select distinct on (said.moment collate "C", said.id collate "C")
                    said.*, family.*, count(*) filter (where said.is_stored) over (partition by said.moment, said.id) as known
                from (
                    select entry, entry ->> 'timestamp' as moment, entry ->> 'id' as id, is_stored, position
                    from (
                        select entry, true as is_stored, position
                        from jsonb_array_elements(case jsonb_typeof(list.was) when 'array' then list.was else '[]' end)
                            with ordinality as stood (entry, position)
                        union all
                        select entry, false, position
                        from jsonb_array_elements(coalesce(list.fresh, '[]')) with ordinality as added (entry, position)
                    ) as candidate
                    where
                        jsonb_typeof(entry -> 'id') = 'string' and length(entry ->> 'id') = 36
                        and jsonb_typeof(entry -> 'timestamp') = 'string'
                        and length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00'
                ) as said
                join (
                    values
                    ('control', '["cancel", "pause", "resume", "fail"]'::jsonb, 20, 4000),
                    ('control', '["answer"]', 20, 4000),
                    ('control', '["asked"]', 20, 6000),
                    ('control', '["settled"]', 30, 2000),
                    ('overdue', null, 12, 1000000)
                ) as family (list, kinds, most, whole)
                    on family.list = list.name
                    and (family.kinds is null or (jsonb_typeof(said.entry -> 'kind') = 'string' and family.kinds ? (said.entry ->> 'kind')))
                order by said.moment collate "C", said.id collate "C", said.is_stored desc, said.position
            ) as each
            window newest as (partition by each.list, each.kinds order by each.moment collate "C" desc, each.id collate "C" desc)
        ) as placed
    ) as bounded
    limit (coalesce(old.control, old.overdue) is not null or (old.metadata is not null and stored.metadata ?| array['control', 'overdue']))::int
) as noted on true
