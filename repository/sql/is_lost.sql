-- A part of what reads "flow" and raw.metadata: whether the row says that the flow is lost, as masterflow.domain.liveness does.
coalesce(
    flow.flow_status in ('initialized', 'active', 'processing')
    and jsonb_typeof(raw.metadata -> 'lost') = 'object'
    and jsonb_typeof(raw.metadata #> '{_enrichment,clocks,flow_metadata,lost}') = 'string'
    and (
        coalesce(jsonb_typeof(raw.metadata #> '{_enrichment,newest}'), '') <> 'string'
        or raw.metadata #>> '{_enrichment,clocks,flow_metadata,lost}' >= raw.metadata #>> '{_enrichment,newest}' collate "C"
    ),
    false
)
