"""`flowctl token`: a token for the status API, for people who develop against it."""

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Annotated, Final
from uuid import UUID

import typer

from masterflow.scripts.flowctl.options import AsJson, Client
from masterflow.scripts.flowctl.output import print_json
from masterflow.scripts.terminal.text import say

_SHORTEST_S: Final = 60
_LONGEST_S: Final = 30 * 86_400


def token(
    *,
    client: Client,
    engagement: Annotated[
        list[UUID] | None,
        typer.Option(
            envvar="FLOWCTL_ENGAGEMENT", help="An engagement they see; may be repeated.", show_default=False
        ),
    ] = None,
    all_engagements: Annotated[
        bool,
        typer.Option(
            "--all-engagements", help="They see all engagements of the account, also those to come."
        ),
    ] = False,
    user: Annotated[str, typer.Option(help="Whose token it is.", show_default=False)],
    lifetime_s: Annotated[
        int, typer.Option("--lifetime", min=_SHORTEST_S, max=_LONGEST_S, help="Seconds for which it holds.")
    ] = 3600,
    control: Annotated[
        bool, typer.Option("--control", help="They may also tell flows to stop, and answer them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Issue a development token for the status API, signed with ENRICHMENT_JWT_KEY; only with HS256.

    Whoever holds it sees the flows of these engagements, or of all, and with --control tells them what to do:
    treat it as a password.
    """  # noqa: DOC501  this is the command's help
    from masterflow.domain import InputInvalid, SettingsInvalid
    from masterflow.domain.tenant import flow_context
    from masterflow.status.settings import StatusSettings

    # What signs comes with the extra [status], and the other commands have to work without it.
    if find_spec("jwt") is None:
        raise SettingsInvalid("Tokens need the extra [status]: pip install '.[status]'.")
    from masterflow.status.access.tokens import issue_token, read_token

    settings = StatusSettings()
    if not engagement and not all_engagements:
        raise InputInvalid("Name the engagements with --engagement, or ask for --all-engagements.")
    user = flow_context(client, (engagement or [client])[0], user).user_id
    issued = issue_token(
        settings,
        client,
        engagement_ids=None if all_engagements else engagement,
        user_id=user,
        lifetime_s=lifetime_s,
        may_control=control,
    )
    viewer = read_token(issued, settings)
    if as_json:
        expires_at = datetime.fromtimestamp(viewer.expires_at, UTC)
        print_json({"token": issued, "expires_at": expires_at.isoformat()})
    else:
        say(issued)
