"""What a JSON schema has against a value, as far as models of pydantic need it, at a bounded cost.

The process that asked looks at each answer again, with its own model. Here a pattern is not looked at: it
comes from a tenant, and one that takes for ever would hold up an API that serves all.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from masterflow.domain.json_shapes import as_list, as_map, number_of

#: Schemas that refer to each other may go on for ever; what is not found out by then is the process's matter.
_MOST_STEPS: Final = 2_000

_IS_OF: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    ),
}


def schema_problem(schema: Mapping[str, Any], value: object) -> str | None:
    """Return what is wrong with a JSON value, as a sentence that names the place; None if nothing is."""
    try:
        problem = next(_Look(schema).problems(schema, value, "the answer"), None)
    except (_TooLong, RecursionError):
        return None
    return f"{problem[0].upper()}{problem[1:]}." if problem else None


class _TooLong(Exception):
    pass


class _Look:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def problems(self, schema: object, value: object, place: str) -> Iterator[str]:
        """Yield what is wrong, the first thing first.

        Raises:
            _TooLong: it takes too many steps.
        """
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _TooLong
        if schema is False:
            yield f"{place} may not be there"
        known = as_map(schema)
        if isinstance(known.get("$ref"), str):
            yield from self.problems(self._target(known["$ref"]), value, place)
        yield from _plain_problems(known, value, place)
        yield from self._combined(known, value, place)
        if isinstance(value, dict):
            yield from self._of_object(known, value, place)
        elif isinstance(value, list):
            yield from self._of_array(known, value, place)

    def _target(self, reference: str) -> object:
        found: object = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            found = as_map(found).get(part.replace("~1", "/").replace("~0", "~"))
        return found

    def _combined(self, schema: Mapping[str, Any], value: object, place: str) -> Iterator[str]:
        for part in as_list(schema.get("allOf")):
            yield from self.problems(part, value, place)
        for word in ("anyOf", "oneOf"):
            choices = [next(self.problems(part, value, place), None) for part in as_list(schema.get(word))]
            if choices and None not in choices:
                yield " or ".join(dict.fromkeys(choice for choice in choices if choice))

    def _of_object(self, schema: Mapping[str, Any], value: dict[str, Any], place: str) -> Iterator[str]:
        properties = as_map(schema.get("properties"))
        for name in as_list(schema.get("required")):
            if name not in value:
                yield f"{_inside(place, name)} is missing"
        for name, part in value.items():
            rule = properties.get(name, schema.get("additionalProperties", True))
            yield from self.problems(rule, part, _inside(place, name))

    def _of_array(self, schema: Mapping[str, Any], value: list[Any], place: str) -> Iterator[str]:
        firsts = as_list(schema.get("prefixItems"))
        for number, part in enumerate(value):
            rule = firsts[number] if number < len(firsts) else schema.get("items", True)
            yield from self.problems(rule, part, f"item {number + 1} of {place}")


def _plain_problems(schema: Mapping[str, Any], value: object, place: str) -> Iterator[str]:
    types = schema.get("type")
    kinds = [kind for kind in ([types] if isinstance(types, str) else as_list(types)) if kind in _IS_OF]
    if kinds and not any(_IS_OF[kind](value) for kind in kinds):
        yield f"{place} must be of the type {' or '.join(kinds)}"
    if "const" in schema and not _same(schema["const"], value):
        yield f"{place} must be {_shown(schema['const'])}"
    if "enum" in schema and not any(_same(each, value) for each in as_list(schema["enum"])):
        yield f"{place} must be one of {', '.join(map(_shown, as_list(schema['enum'])))}"
    if isinstance(value, str | list | dict):
        words = {str: ("Length", "characters"), list: ("Items", "items"), dict: ("Properties", "fields")}
        word, unit = words[type(value)]
        yield from _bounds(schema, f"min{word}", f"max{word}", len(value), place=place, unit=f" {unit}")
    number = number_of(value)
    if number is not None:
        yield from _bounds(schema, "minimum", "maximum", number, place=place)
        low, high = (number_of(schema.get(name)) for name in ("exclusiveMinimum", "exclusiveMaximum"))
        if low is not None and number <= low:
            yield f"{place} must be more than {low:g}"
        if high is not None and number >= high:
            yield f"{place} must be less than {high:g}"


def _bounds(
    schema: Mapping[str, Any], least: str, most: str, size: float, *, place: str, unit: str = ""
) -> Iterator[str]:
    low, high = number_of(schema.get(least)), number_of(schema.get(most))
    if low is not None and size < low:
        yield f"{place} must be at least {low:g}{unit}"
    if high is not None and size > high:
        yield f"{place} must be at most {high:g}{unit}"


def _inside(place: str, name: object) -> str:
    return f"{str(name)[:100]!r} in {place}" if place != "the answer" else f"{str(name)[:100]!r}"


def _same(one: object, other: object) -> bool:
    return _IS_OF["boolean"](one) == _IS_OF["boolean"](other) and one == other


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:100]
