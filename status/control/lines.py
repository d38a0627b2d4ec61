"""What was asked of a flow and by it, as lines for page and terminal."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from masterflow.status.control.views import QuestionView, RequestView

_DID: Final = {
    "cancel": "asked to cancel it",
    "pause": "asked to pause it",
    "resume": "let it go on",
    "fail": "closed it as failed",
}
_ENDED: Final = {"timed_out": "nobody answered in time", "withdrawn": "no answer was needed any more"}


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was asked of the flow, or asked by it and is over."""

    id: str
    at: datetime
    who: str
    what: str
    #: Why, or the answer.
    said: str = ""


def lines_of(requests: Iterable[RequestView], questions: Iterable[QuestionView]) -> list[Line]:
    """Return what was asked and is over, the newest first; an answer stands with its question."""
    asked = [
        Line(str(one.id), one.at, one.by, _DID[one.action], one.reason or "")
        for one in requests
        if one.action in _DID
    ]
    ended = [_ended(question) for question in questions if question.state != "open"]
    return sorted([*asked, *ended], key=lambda line: line.at, reverse=True)


def _ended(question: QuestionView) -> Line:
    if question.state == "answered":
        answer = question.answer
        said = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        at, who = question.answered_at or question.asked_at, question.answered_by or "Somebody"
        return Line(str(question.id), at, who, f"answered “{question.question}”", said)
    what = f"asked “{question.question}”: {_ENDED[question.state]}"
    return Line(str(question.id), question.asked_at, "The flow", what)
