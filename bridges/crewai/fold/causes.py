"""Errors, one for each cause: an error that passes five levels is one entry that names them."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from masterflow.bridges.crewai.fold.scopes import Scope
from masterflow.bridges.crewai.records import Record

Outcome = Literal["fatal", "recovered"]

#: What is longer than this is compared by its beginning.
_COMPARED_CHARS: Final = 300

_MOST_OPEN: Final = 200


@dataclass(eq=False, slots=True)
class Cause:
    """An error that has not been dealt with yet."""

    record: Record
    text: str
    phase: str | None
    levels: list[str]
    #: The scopes around it, by their ids.
    inside: frozenset[str]
    tries: int = 1
    #: It has ended the flow of the row.
    is_fatal: bool = False
    #: Somebody else has reported it: a hook that was written by hand.
    is_reported: bool = False

    @property
    def details(self) -> dict[str, Any]:
        """Return what the entry says beside the text."""
        facts = self.record.facts
        names = ("error_type", "raised_at", "agent", "tool", "task", "model")
        said = {name: facts[name] for name in names if facts.get(name)}
        return {**said, "levels": self.levels, **({"tries": self.tries} if self.tries > 1 else {})}


class Causes:
    """The errors of one kickoff whose outcome is open."""

    def __init__(self) -> None:
        self._open: list[Cause] = []

    def fail(self, scope: Scope, record: Record) -> None:
        """Take in that a scope ended by an error."""
        text = str(record.facts.get("error", ""))[:_COMPARED_CHARS]
        is_fatal = scope.run is not None and scope.run.root is scope
        known = self._related(scope, text)
        if known is not None:
            known.is_fatal |= is_fatal
            known.is_reported |= bool(record.facts.get("is_reported"))
            # A flow in a flow fails at the same level further out, which is no other try.
            if known.levels[0] == scope.level and scope.id not in known.inside:
                known.tries += 1
            elif scope.level not in known.levels:
                known.levels.append(scope.level)
            return
        around = list(scope.around())[1:]
        phase = scope.phase_scope
        if len(self._open) < _MOST_OPEN:
            cause = Cause(
                record,
                text,
                phase.phase if phase else None,
                [scope.level],
                frozenset(one.id for one in around),
                is_fatal=is_fatal,
                is_reported=bool(record.facts.get("is_reported")),
            )
            self._open.append(cause)

    def stop(self, scope: Scope, text: str) -> None:
        """Forget what rose because the flow was told to stop, which is no error."""
        known = self._related(scope, text[:_COMPARED_CHARS])
        if known is not None:
            self._open.remove(known)

    def succeed(self, scope: Scope) -> list[Cause]:
        """Return the errors inside a scope that ended well all the same."""
        return self._take(lambda cause: scope.id in cause.inside)

    def end(self) -> list[tuple[Cause, Outcome]]:
        """Return what is left when the flow is over; what reached the flow was fatal."""
        return [(cause, "fatal" if cause.is_fatal else "recovered") for cause in self._take()]

    def _take(self, which: Any = lambda _: True) -> list[Cause]:
        taken = [cause for cause in self._open if which(cause)]
        self._open = [cause for cause in self._open if not which(cause)]
        return taken

    def _related(self, scope: Scope, text: str) -> Cause | None:
        """Return the error that this one is: further out, or once more where it is tried again."""
        task = scope.nearest("task") or scope.parent
        task_id = task.id if task else ""
        for cause in reversed(self._open):
            is_around = scope.id in cause.inside
            is_beside = task_id in cause.inside and scope.level in cause.levels
            same_text = bool(text) and bool(cause.text) and (text in cause.text or cause.text in text)
            if (is_around or is_beside) and same_text:
                return cause
        return None
