-- A part of merge_lists.sql: the newest 100 of what stands in a list and what comes, in their order.
select nullif(jsonb_agg(
    case
        -- The newest 50 entries may have 4 KB each, the 50 before them 1,100 bytes: 256 KB in all.
        when ranked.place > 50 and octet_length(ranked.entry::text) > 1100 then (
            -- include: merge_short_entry
        )
        else ranked.entry
    end
    order by ranked.place desc
), shape.entries)
from (
    select
        entry,
        row_number() over (order by moment collate "C" desc, id collate "C" desc, position desc) as place
    from (
        select
            entry,
            case
                when entry ? 'id' and length(entry ->> 'timestamp') = 32 and right(entry ->> 'timestamp', 6) = '+00:00'
                    then left(entry ->> 'timestamp', 26)
                -- Within the case, which evaluates it for the few entries that need it.
                else coalesce((
                    -- include: merge_legacy_moment
                ), '')
            end as moment,
            coalesce(entry ->> 'id', '') as id,
            position
        from (
            select entry, position from jsonb_array_elements(shape.entries) with ordinality as kept (entry, position)
            union all
            select entry, 0
            from jsonb_array_elements(list.fresh) as added (entry)
            where not exists (
                select from jsonb_array_elements(shape.entries) as present (entry)
                where present.entry ->> 'id' = added.entry ->> 'id'
            )
        ) as candidates
    ) as timed
) as ranked
where ranked.place <= 100
