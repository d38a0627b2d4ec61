-- A part of merge_usage.sql: what the figures in "found" are as amounts; what is no number counts as 0.
select jsonb_build_array(
    case jsonb_typeof(found -> 'calls') when 'number' then trim_scale((found ->> 'calls')::numeric) else 0 end,
    case jsonb_typeof(found -> 'input_tokens') when 'number' then trim_scale((found ->> 'input_tokens')::numeric) else 0 end,
    case jsonb_typeof(found -> 'output_tokens') when 'number' then trim_scale((found ->> 'output_tokens')::numeric) else 0 end,
    case jsonb_typeof(found -> 'cost_usd') when 'number' then trim_scale((found ->> 'cost_usd')::numeric * 1000000000) else 0 end,
    case jsonb_typeof(found -> 'unpriced_calls') when 'number' then trim_scale((found ->> 'unpriced_calls')::numeric) else 0 end
) as amounts
