-- A part of merge_maps.sql: a value of a map that is too long, as a shorter one of the same type.
select case jsonb_typeof(ranked.value)
    when 'object' then (
        select coalesce(jsonb_object_agg(name, part) filter (where bytes <= 1600), '{}') || jsonb_build_object(
            '…', format('…[truncated %s keys]', count(*) filter (where bytes > 1600))
        )
        from (
            select name, part, sum(octet_length(to_jsonb(name)::text) + octet_length(part::text) + 4) over (order by place) as bytes
            from jsonb_each(ranked.value) with ordinality as parts (name, part, place)
        ) as sized
    )
    when 'array' then (
        select coalesce(jsonb_agg(part order by place) filter (where bytes <= 1600), '[]') || jsonb_build_array(
            format('…[truncated %s items]', count(*) filter (where bytes > 1600))
        )
        from (
            select part, place, sum(octet_length(part::text) + 2) over (order by place) as bytes
            from jsonb_array_elements(ranked.value) with ordinality as parts (part, place)
        ) as sized
    )
    when 'string' then (
        select to_jsonb(left(whole, chars) || format('…[truncated %s chars]', length(whole) - chars))
        from (select ranked.value #>> '{}' as whole) as text
        cross join (values (1600), (800), (400), (250)) as tried (chars)
        where octet_length(to_jsonb(left(whole, chars))::text) <= 1602
        order by chars desc
        limit 1
    )
    else ranked.value
end as value
