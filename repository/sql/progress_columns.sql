-- How far a part of a list looked: columns of the statements that read "progress". end_us is in microseconds since 2000
-- as Postgres counts them, as Python knows no time after 9999; it and end_id are null where that is a time between flows.
    progress.searched, progress.is_end, progress.end_id,
    case
        when isfinite(progress.end_at) then ((extract(epoch from progress.end_at) - 946684800) * 1000000)::bigint
        when progress.end_at > '2000-01-01' then 9223372036854775807
        when progress.end_at is not null then -9223372036854775807
    end as end_us
