-- A part of what reads "flow": whether nobody has thinned it, and its metadata can say so.
(
    coalesce(jsonb_typeof(flow.flow_metadata), 'null') = 'null'
    or (jsonb_typeof(flow.flow_metadata) = 'object' and not flow.flow_metadata ? '_thinned')
)
