"""Options that several commands share."""

from typing import Annotated
from uuid import UUID

import typer

from masterflow.domain import flow_uuid

FlowId = Annotated[
    UUID, typer.Argument(parser=flow_uuid, metavar="FLOW_ID", help="The flow's id.", show_default=False)
]
Client = Annotated[
    UUID, typer.Option("--client", envvar="FLOWCTL_CLIENT", help="The client account.", show_default=False)
]
Engagement = Annotated[
    UUID,
    typer.Option("--engagement", envvar="FLOWCTL_ENGAGEMENT", help="The engagement.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
