-- Tell what this server is: version as a number, its time, its default time zone, whether it can compress with lz4.
select
    current_setting('server_version_num')::int as version,
    extract(epoch from clock_timestamp())::float8 as epoch_s,
    (select reset_val from pg_settings where name = 'TimeZone') as time_zone,
    exists (
        select from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)
    ) as has_lz4
