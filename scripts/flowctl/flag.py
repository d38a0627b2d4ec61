"""`flowctl flag`: switch enrichment on and off in all workers, without a restart."""

import asyncio

import typer

from repository.feature_flag import FeatureFlag, FlagState, Override
from repository.settings import RedisSettings
from scripts.flowctl.options import AsJson
from scripts.flowctl.output import console, print_json

group = typer.Typer(no_args_is_help=True, help="Switch enrichment on and off, in all processes at once.")


@group.command()
def on() -> None:
    """Switch it on, whatever MASTER_STATE_ENRICHMENT_ENABLED says."""
    _override("on")


@group.command()
def off() -> None:
    """Switch it off; status and progress are still written."""
    _override("off")


@group.command()
def clear() -> None:
    """Let MASTER_STATE_ENRICHMENT_ENABLED of each process decide again."""
    _override(None)


@group.command()
def show(*, as_json: AsJson = False) -> None:
    """Tell whether enrichment is on, and why."""
    state = asyncio.run(_show())
    if as_json:
        print_json({"enabled": state.enabled, "default": state.default, "override": state.override})
    else:
        console.print(_sentence(state))


def _override(override: Override | None) -> None:
    console.print(_sentence(asyncio.run(_show(override, changes=True))))


async def _show(override: Override | None = None, *, changes: bool = False) -> FlagState:
    flag = FeatureFlag(RedisSettings())
    try:
        if changes:
            await flag.set_override(override)
        return await flag.show()
    finally:
        await flag.close()


def _sentence(state: FlagState) -> str:
    word = "on" if state.enabled else "off"
    if state.override:
        return f"Enrichment is {word} in all processes, by `flowctl flag {state.override}`."
    return f"Enrichment is {word} by MASTER_STATE_ENRICHMENT_ENABLED; nothing overrides it."
