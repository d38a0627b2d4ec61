"""Celery's signals as reports: a task is a phase of the flow that it names.

Signals come on the thread that runs the task, in order, and a report is no slower than a log line; so there
is no queue here as in other bridges, and the tracker is the fold.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from celery import signals

from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.events import FlowRetried
from masterflow.tracker.hooks import PhaseHook, phase
from masterflow.tracker.report import refuse
from masterflow.tracker.tenants import TenantIds, tenant_of
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker

FlowId = UUID | str | int

#: Whose flows they are; or what is given the task with its arguments and returns that, None for nobody's.
Tenant = TenantIds | Callable[[Any, tuple[Any, ...], Mapping[str, Any]], TenantIds | None]

_OWN_TASKS: Final = "enrichment."


def flow_id_in(_task: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FlowId | None:
    """Return the keyword argument `flow_id`, if the task has one."""
    return kwargs.get("flow_id")


def task_name(task: Any) -> str:
    """Return what a task is called behind its last dot: `app.tasks.load` is `load`."""
    return str(task.name).rpartition(".")[2]


@dataclass(frozen=True)
class _Rules:
    context: Tenant
    flow_id_from: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], FlowId | None]
    phase_from: Callable[[Any], str]
    create_rows: bool
    flow_type: str
    completed_by: Collection[str]
    fails_flow: bool

    def tracker(self, task: Any, args: Any, kwargs: Any) -> FlowProgressTracker | None:
        """Return the tracker of the flow that a task works for; None if it works for none."""
        if str(task.name).startswith(_OWN_TASKS):
            return None
        given = tuple(args or ()), dict(kwargs or {})
        flow_id = self.flow_id_from(task, *given)
        context = self.context(task, *given) if callable(self.context) else self.context
        if flow_id is None or context is None:
            return None
        return create_progress_tracker(
            flow_id, context, flow_type=self.flow_type, create=self.create_rows, ends_flow=False
        )


@dataclass
class _Running:
    """A task that runs in this process; `outcome` is an error that its end has to tell."""

    tracker: FlowProgressTracker
    hook: PhaseHook
    outcome: BaseException | None = None


_rules: _Rules | None = None
_running: dict[str, _Running] = {}
_told_as_gone: deque[str] = deque(maxlen=1_000)


def install(
    context: Tenant,
    *,
    flow_id_from: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], FlowId | None] = flow_id_in,
    phase_from: Callable[[Any], str] = task_name,
    create_rows: bool = True,
    flow_type: str = "discovery",
    completed_by: Collection[str] = (),
    fails_flow: bool = True,
) -> None:
    """Let the tasks of this worker fill the rows of their flows; call it where your application is made.

    A task with a flow's id (`flow_id_from(task, args, kwargs)`, by default its keyword `flow_id`) is a phase
    (`phase_from(task)`); inside it `phase(...)` and `current_flow()` are of that flow. A retry is an error
    and one more attempt, a revoked task `cancelled`, a time limit an error. The flow fails with a task that
    failed for good, unless `fails_flow` is false, and is completed by the tasks named in `completed_by`.
    Called again, the newest options count.

    Raises:
        InputInvalid: there is no context.
    """
    global _rules  # noqa: PLW0603
    if context is None:
        raise InputInvalid("Say whose flows these are: pass a FlowContext, or what returns one for a task.")
    if not callable(context):
        context = _checked(context)
    _rules = _Rules(
        context, flow_id_from, phase_from, create_rows, flow_type, frozenset(completed_by), fails_flow
    )
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=f"masterflow.{receiver.__name__}")


def uninstall() -> None:
    """Listen no more."""
    global _rules  # noqa: PLW0603
    _rules = None
    for signal, receiver in _RECEIVERS:
        signal.disconnect(dispatch_uid=f"masterflow.{receiver.__name__}")


def _checked(context: TenantIds) -> FlowContext:
    found = tenant_of(context)
    if not isinstance(found, FlowContext):
        raise InputInvalid("The context names no tenant; pass a FlowContext.")
    return found


def _safely(receive: Callable[..., None]) -> Callable[..., None]:
    """Let a receiver fail no task."""

    def receiver(sender: Any = None, **said: Any) -> None:
        try:
            receive(sender, **said)
        except Exception as problem:  # noqa: BLE001  the task must not fail because of its report
            refuse(problem, may_raise=False)

    receiver.__name__ = receive.__name__
    return receiver


@_safely
def _begun(task: Any, /, task_id: str, args: Any = None, kwargs: Any = None, **_: Any) -> None:
    tracker = _rules.tracker(task, args, kwargs) if _rules else None
    if _rules is None or tracker is None:
        return
    if (getattr(task.request, "retries", 0) or 0) > 0:
        # Another process may have tried before.
        tracker.record.tell(FlowRetried)
    hook = phase(_rules.phase_from(task), flow=tracker)
    tracker.__enter__()
    hook.__enter__().note(task_id=task_id)
    _running[task_id] = _Running(tracker, hook)


@_safely
def _retried(_task: Any, /, request: Any = None, reason: Any = None, **_: Any) -> None:
    if running := _running.get(str(getattr(request, "id", ""))):
        running.outcome = getattr(reason, "exc", None) or reason


@_safely
def _failed(
    task: Any, /, task_id: str, exception: BaseException, args: Any = None, kwargs: Any = None, **_: Any
) -> None:
    if running := _running.get(task_id):
        running.outcome = exception
        return
    # Its process is gone: a hard time limit, or a child that was killed. Celery may tell both of one.
    tracker = _rules.tracker(task, args, kwargs) if _rules and task_id not in _told_as_gone else None
    if _rules is None or tracker is None:
        return
    _told_as_gone.append(task_id)
    tracker.report_error(exception, _rules.phase_from(task), is_recoverable=False)
    if _rules.fails_flow:
        tracker.fail_flow(exception)


@_safely
def _ended(task: Any, /, task_id: str, state: str | None = None, **_: Any) -> None:
    # Without a state its process is being ended: the worker, which ends it, tells why. If that dies too, the
    # flow is lost with this process, which holds it until then.
    running = _running.pop(task_id, None) if state is not None else None
    if running is None or _rules is None:
        return
    error = running.outcome
    if error is None and state in ("IGNORED", "REJECTED", "REVOKED"):
        error = KeyboardInterrupt(state)
    running.hook.__exit__(type(error) if error else None, error, None)
    running.tracker.__exit__(None, None, None)
    if state == "FAILURE" and error is not None and _rules.fails_flow:
        running.tracker.fail_flow(error)
    elif state == "SUCCESS" and {str(task.name), _rules.phase_from(task)} & set(_rules.completed_by):
        running.tracker.complete_flow()


@_safely
def _revoked(task: Any, /, request: Any, terminated: bool = False, expired: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002
    tracker = _rules.tracker(task, request.args, request.kwargs) if _rules else None
    if _rules is not None and tracker is not None:
        facts = {"is_terminated": bool(terminated), "is_expired": bool(expired), "task_id": request.id}
        tracker.record.transition(_rules.phase_from(task), "cancelled", facts)


_RECEIVERS: Final[tuple[tuple[Any, Callable[..., None]], ...]] = (
    (signals.task_prerun, _begun),
    (signals.task_retry, _retried),
    (signals.task_failure, _failed),
    (signals.task_postrun, _ended),
    (signals.task_revoked, _revoked),
)
