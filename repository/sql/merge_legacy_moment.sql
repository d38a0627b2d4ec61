-- A part of merge_ranked_list.sql: the moment of an entry that we did not write, as sortable text without zone. It reads any
-- ISO form (naive is UTC; the day alone, or minutes, will do), or a number of seconds, milli- or microseconds.
select to_char(placed.at, 'YYYY-MM-DD"T"HH24:MI:SS.US')
from (
    select
        make_timestamp(read.part[1]::int, read.part[2]::int, 1, 0, 0, 0)
        + make_interval(
            days => read.part[3]::int - 1,
            hours => coalesce(read.part[4]::int, 0) - coalesce((read.part[8] || read.part[9])::int, 0),
            mins => coalesce(read.part[5]::int, 0) - coalesce((read.part[8] || read.part[10])::int, 0),
            secs => coalesce(read.part[6]::int, 0)
        )
        + rpad(left(coalesce(read.part[7], '0'), 6), 6, '0')::int * interval '1 microsecond' as at,
        read.part[3]::int <= extract(
            day from make_date(read.part[1]::int, read.part[2]::int, 1) + interval '1 month - 1 day'
        ) as is_valid
    from (
        select regexp_match(
            entry ->> 'timestamp',
            '^(?!000[01])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])'
            '(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9}))?)?'
            ' ?(?:[Zz]|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?)?$'
        ) as part
        where jsonb_typeof(entry -> 'timestamp') = 'string'
        offset 0
    ) as read
    where read.part is not null
    union all
    select
        timestamp 'epoch' + floor(
            number * case when abs(number) < 1e11 then 1e6 when abs(number) < 1e14 then 1e3 else 1 end
        )::bigint * interval '1 microsecond',
        number > -6e10
    from (
        select case
            when jsonb_typeof(entry -> 'timestamp') = 'number' and length(entry ->> 'timestamp') < 40
                then (entry ->> 'timestamp')::numeric
        end as number
    ) as epoch
    where abs(number) < 1e17
) as placed
where placed.is_valid
