-- Let the connection compress big values with lz4, the faster method, where the server was built with it.
select set_config(name, 'lz4', false)
from pg_settings
where name = 'default_toast_compression' and 'lz4' = any (enumvals)
