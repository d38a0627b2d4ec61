"""`flowctl flag`: switch enrichment on and off in all workers, without a restart."""

from typing import TYPE_CHECKING

from masterflow.scripts.flowctl.options import AsJson, command_group
from masterflow.scripts.flowctl.output import print_done

if TYPE_CHECKING:
    from masterflow.repository.feature_flag import FlagState, Override

group = command_group("Switch enrichment on and off, in all processes at once.")


@group.command()
def on(*, as_json: AsJson = False) -> None:
    """Switch it on, whatever MASTER_STATE_ENRICHMENT_ENABLED says."""
    _override("on", as_json=as_json)


@group.command()
def off(*, as_json: AsJson = False) -> None:
    """Switch it off; status and progress are still written."""
    _override("off", as_json=as_json)


@group.command()
def clear(*, as_json: AsJson = False) -> None:
    """Let MASTER_STATE_ENRICHMENT_ENABLED of each process decide again."""
    _override(None, as_json=as_json)


@group.command()
def show(*, as_json: AsJson = False) -> None:
    """Tell whether enrichment is on, and why."""
    _print(as_json=as_json)


def _override(override: "Override | None", *, as_json: bool) -> None:
    _print(override, changes=True, as_json=as_json)


def _print(override: "Override | None" = None, *, changes: bool = False, as_json: bool) -> None:
    import asyncio

    state = asyncio.run(_show(override, changes=changes))
    facts = {"enabled": state.enabled, "default": state.default, "override": state.override}
    print_done(_sentence(state), as_json=as_json, **facts)


async def _show(override: "Override | None", *, changes: bool) -> "FlagState":
    from masterflow.repository.feature_flag import FeatureFlag
    from masterflow.repository.settings import RedisSettings

    flag = FeatureFlag(RedisSettings())
    try:
        if changes:
            await flag.set_override(override)
        return await flag.show()
    finally:
        await flag.close()


def _sentence(state: "FlagState") -> str:
    word = "on" if state.enabled else "off"
    if state.override:
        return f"Enrichment is {word} in all processes, by `flowctl flag {state.override}`."
    return f"Enrichment is {word} by MASTER_STATE_ENRICHMENT_ENABLED; nothing overrides it."
