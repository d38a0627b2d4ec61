"""What several commands share: their options, and how a group shows them."""

from typing import Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperGroup


def flow_id(text: str) -> UUID:
    """Return the id of the row of the flow that is called so."""  # noqa: DOC501
    from masterflow.domain import InputInvalid, flow_uuid

    try:
        return flow_uuid(text)
    except InputInvalid as error:
        raise typer.BadParameter(str(error)) from error


FlowId = Annotated[
    UUID, typer.Argument(parser=flow_id, metavar="FLOW_ID", help="The flow's id.", show_default=False)
]
Client = Annotated[
    UUID, typer.Option("--client", envvar="FLOWCTL_CLIENT", help="The client account.", show_default=False)
]
Engagement = Annotated[
    UUID,
    typer.Option("--engagement", envvar="FLOWCTL_ENGAGEMENT", help="The engagement.", show_default=False),
]
Engagements = Annotated[
    list[UUID] | None,
    typer.Option(
        "--engagement",
        envvar="FLOWCTL_ENGAGEMENT",
        help="An engagement; may be repeated.",
        show_default=False,
    ),
]
AllEngagements = Annotated[
    bool, typer.Option("--all-engagements", help="All engagements of the account, also those to come.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")]


def chosen_engagements(engagements: list[UUID] | None, *, are_all: bool) -> frozenset[UUID] | None:
    """Return the engagements that are asked for; None stands for all of the account."""  # noqa: DOC501
    if are_all:
        return None
    if not engagements:
        raise typer.BadParameter(
            "Name the engagements with --engagement, or ask for --all-engagements.",
            param_hint="--engagement",
        )
    return frozenset(engagements)


class CommandGroup(TyperGroup):
    """Lists its commands with whole sentences; Click would end them with `...`."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of this name, or None."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and not command.short_help:
            command.short_help = " ".join((command.help or "").partition("\n\n")[0].split())
        return command


def command_group(text: str, *, epilog: str | None = None) -> typer.Typer:
    """Return an empty group with this help."""
    # Plain help is there in half the time, and whole at every width and in every encoding.
    return typer.Typer(
        cls=CommandGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=text,
        epilog=epilog,
    )
