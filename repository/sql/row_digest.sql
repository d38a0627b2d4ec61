-- A part of what reads "flow": the SHA-256 of the whole row, whatever its columns are.
encode(sha256(convert_to(to_jsonb(flow)::text, getdatabaseencoding())), 'hex')
