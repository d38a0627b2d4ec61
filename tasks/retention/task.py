"""The task that beat sends where retention is switched on."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from masterflow.domain.errors import InputInvalid, TransientError
from masterflow.repository.retention.ended import Ended, EndedFlows
from masterflow.tasks.app import app
from masterflow.tasks.delivery.loop import WorkerLoop, worker_loop
from masterflow.tasks.retention.archive import Archive
from masterflow.tasks.retention.rounds import Outcome, run_rounds
from masterflow.tasks.settings import RetentionSettings

RUN: Final = "retention.run"

# Both together end before the task's time limit; the next run goes on.
_BUDGET_S: Final = 15.0
_TIMEOUT_S: Final = 25.0
_ROUND: Final = 500

_logger = logging.getLogger(__name__)


@app.task(name=RUN)
def run(*, proof: object = None) -> None:  # noqa: ARG001  the consumer has verified it
    """Archive and thin what is old enough; after a run that fails or is killed, the next one goes on."""
    settings = RetentionSettings()
    loop = worker_loop()
    try:
        if settings.archive_after_days and settings.archive_to:
            archive = Archive(settings.archive_to, is_folder=True)
            done = _run(loop, settings.archive_after_days, archive, thins=False)
            _logger.info("%s flows are archived in %s, %s stay for now", done.done, archive.path, done.kept)
        if settings.thin_after_days:
            done = _run(loop, settings.thin_after_days, None, thins=True)
            _logger.info("%s flows are thinned, %s stay for now", done.done, done.kept)
    except (InputInvalid, OSError, TransientError) as error:
        _logger.warning("Retention waits for its next run: %s", error)


def _run(loop: WorkerLoop, days: float, archive: Archive | None, *, thins: bool) -> Outcome:
    meant = Ended(before=datetime.now(UTC) - timedelta(days=days), to_thin=thins)
    return loop.run(
        lambda sessions: run_rounds(
            EndedFlows(sessions, meant), archive, thins=thins, budget_s=_BUDGET_S, most=_ROUND
        ),
        timeout_s=_TIMEOUT_S,
    )
