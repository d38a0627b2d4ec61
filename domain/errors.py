"""The errors all layers share, in two families: try again, and never will work."""


class EnrichmentError(Exception):
    """Any error of this project; its message is a sentence that says what to do."""

    reason = "error"


class TransientError(EnrichmentError):
    """The same call may work later; nothing was written."""

    reason = "transient"


class PermanentError(EnrichmentError):
    """The same call can never work; repeating it is pointless."""

    reason = "permanent"


class DatabaseUnavailable(TransientError):
    """Postgres is away, overloaded or refused the transaction for now."""

    reason = "database_unavailable"


class TransactionConflict(DatabaseUnavailable):
    """Another transaction changed the same rows first; repeat this one from its beginning."""

    reason = "transaction_conflict"


class DatabaseMisconfigured(DatabaseUnavailable):
    """Postgres answers, and the call works once somebody has changed what the message names."""

    reason = "database_misconfigured"


class TablesUnsuitable(DatabaseMisconfigured):
    """A table or a column is missing, or of another type; `flowctl doctor` names it."""

    reason = "tables_unsuitable"


class RightsMissing(DatabaseMisconfigured):
    """Our role lacks a privilege, or a policy hides or refuses rows; `flowctl doctor` says what to grant."""

    reason = "rights_missing"


class DatabaseReadOnly(DatabaseMisconfigured):
    """Postgres takes no writes: it is a standby, or our role's transactions are read-only."""

    reason = "database_read_only"


class FlowNotFound(PermanentError):
    """No master row has this flow id."""

    reason = "flow_not_found"


class FlowHidden(FlowNotFound):
    """No master row of this id is visible, and a row-level security policy may hide it."""

    reason = "row_hidden"


class UpdateSkipped(PermanentError):
    """A trigger of the master table keeps the row from being updated."""

    reason = "update_skipped"


class TenantMismatch(FlowNotFound):
    """The flow exists, but under another client account or engagement; its words do not say so."""

    reason = "tenant_mismatch"


class InputInvalid(PermanentError, ValueError):
    """An argument or an event does not have the shape it must have."""

    reason = "invalid"


class ClockAhead(PermanentError):
    """An event claims a time too far in the future: it would win every comparison for ever."""

    reason = "clock_ahead"


class SignatureInvalid(PermanentError):
    """A batch is unsigned, tampered with, or signed with a key of another tenant."""

    reason = "signature_invalid"


class VersionConflict(PermanentError):
    """Someone else saved this flow's state first; load it again and repeat the change."""

    reason = "version_conflict"


class SettingsInvalid(PermanentError):
    """A setting is missing or malformed."""

    reason = "settings_invalid"
