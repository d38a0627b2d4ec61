-- A part of what reads "flow": whether it has ended and nothing changed it since :before, of one tenant or of all where the ids are null.
    flow.flow_status = any (cast(:ended as text[]))
    and flow.updated_at < cast(:before as timestamptz)
    and flow.created_at < cast(:before as timestamptz)
    and (cast(:client_account_id as uuid) is null or flow.client_account_id = cast(:client_account_id as uuid))
    and (cast(:engagement_id as uuid) is null or flow.engagement_id = cast(:engagement_id as uuid))
