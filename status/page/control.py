"""What people may ask of a flow on its page, what they asked, and the forms in which they answer it."""

import json
from dataclasses import dataclass, field, replace
from typing import Final

from fastapi import Request
from starlette.routing import NoMatchFound

from masterflow.domain.json_shapes import as_list
from masterflow.status.access.tokens import Viewer
from masterflow.status.api.control import TELL
from masterflow.status.control.lines import Line, lines_of
from masterflow.status.control.views import Button, QuestionView
from masterflow.status.page.roots import address_of
from masterflow.status.views import FlowStatus

_MOST_CHOICES: Final = 20


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A button, and what it asks before it does anything."""

    action: Button
    label: str
    #: What the button says that does it.
    deed: str
    text: str
    address: str = ""

    @property
    def ends_it(self) -> bool:
        """Return whether the flow is over after it."""
        return self.action in {"cancel", "fail"}


@dataclass(frozen=True, slots=True)
class Form:
    """A question that is open, and how it is answered."""

    question: QuestionView
    #: Labels and the JSON that each stands for; none where it is written down.
    choices: list[tuple[str, str]]
    #: How what is written becomes JSON: `text` as it is, `json` read as JSON, `any` whichever it is.
    kind: str


@dataclass(frozen=True, slots=True)
class ControlPanel:
    """All of that for one flow; without an address nobody who looks may answer."""

    buttons: list[Confirmation] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    answer_address: str = ""


_BUTTONS: Final = (
    Confirmation(
        "cancel",
        "Cancel",
        "Cancel this flow",
        "It ends as cancelled where its code allows it, at once if no process has it. It cannot go on after"
        " that.",
    ),
    Confirmation(
        "pause",
        "Pause",
        "Pause this flow",
        "It waits where its code allows it, until somebody resumes or cancels it.",
    ),
    Confirmation("resume", "Resume", "Resume this flow", "It goes on where it waits."),
    Confirmation(
        "fail",
        "Close as failed",
        "Close this flow as failed",
        "No process works on it any more. It becomes failed, with your reason as its error.",
    ),
)


def control_panel(request: Request, viewer: Viewer, flow: FlowStatus) -> ControlPanel:
    """Return what a viewer sees; buttons and addresses only if they may control and the API is there."""
    answer_address = answering_at(request, viewer, flow.flow_id)
    buttons = [
        replace(each, address=_tell_address(request, each.action, flow.flow_id) or "")
        for each in _BUTTONS
        if answer_address and each.action in flow.possible_actions
    ]
    return ControlPanel(
        buttons, forms_of(flow.questions), lines_of(flow.requests, flow.questions), answer_address
    )


def panel_to_keep(flow: FlowStatus) -> ControlPanel:
    """Return what a file shows that nobody can answer from."""
    return ControlPanel(forms=forms_of(flow.questions), lines=lines_of(flow.requests, flow.questions))


def answering_at(request: Request, viewer: Viewer, flow_id: object) -> str:
    """Return where a viewer answers a flow; nothing if they may not, or not here."""
    return (_tell_address(request, "answer", flow_id) or "") if viewer.may_control else ""


def forms_of(questions: list[QuestionView]) -> list[Form]:
    """Return the questions that are open, each with its form."""
    return [_form(question) for question in questions if question.state == "open"]


def _form(question: QuestionView) -> Form:
    schema = question.answer_schema or {}
    choices = [(option, json.dumps(option)) for option in question.options]
    values = as_list(schema.get("enum"))
    if not choices and schema.get("type") == "boolean":
        choices = [("yes", "true"), ("no", "false")]
    elif not choices and 0 < len(values) <= _MOST_CHOICES:
        choices = [
            (value if isinstance(value, str) else json.dumps(value), json.dumps(value)) for value in values
        ]
    kind = "text" if schema.get("type") == "string" else "json" if schema else "any"
    return Form(question, choices, kind)


def _tell_address(request: Request, action: str, flow_id: object) -> str | None:
    try:
        return address_of(request, TELL.format(action=action), flow_id=flow_id)
    except NoMatchFound:
        return None
