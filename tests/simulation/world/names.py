"""Under which names our code knows the clock, threads and files, so that it may be given others."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch


def places_of(thing: object) -> list[tuple[ModuleType, str]]:
    """Return the modules of ours that have this very thing among their names, each with the name."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("masterflow.")]
    places = {
        (id(vars(module)), name): (module, name)
        for module in ours
        for name, found in list(vars(module).items())
        if found is thing
    }
    return list(places.values())


@contextmanager
def put_in_place(*replacements: tuple[list[tuple[ModuleType, str]], Any]) -> Iterator[None]:
    """Let the code find something else under these names for a while."""
    with ExitStack() as stack:
        for places, stand_in in replacements:
            for module, name in places:
                stack.enter_context(patch.object(module, name, stand_in))
        yield
