"""Which kickoffs run in this process, so that they are lost with it and not for ever in progress."""

from typing import Final
from uuid import UUID

from masterflow.bridges.crewai.fold import Standing
from masterflow.bridges.crewai.fold.recent import Recent
from masterflow.domain import FlowContext, InputInvalid, flow_uuid
from masterflow.domain.clock import clock
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import Held, OpenPhase
from masterflow.tracker.life.holdings import process_holdings

#: Of those whose end crewAI never told, such as of flows that were cancelled from outside.
_MOST_KICKOFFS: Final = 5_000


class _Kickoff:
    """A kickoff that holds its flow."""

    def __init__(self, flow_id: UUID, standing: Standing) -> None:
        self.flow_id = flow_id
        self.standing = standing
        self.is_held = False

    def sign(self, flow: HeldFlow) -> Held:
        """Return what a sign tells of its flow."""
        standing = self.standing
        phases = {phase: OpenPhase(since) for phase, since in standing.phases.items()}
        return Held(flow, standing.phase, phases)


class Holds:
    """Holds the flow of each kickoff while that runs; it belongs to one thread."""

    def __init__(self) -> None:
        self._kickoffs: Recent[str, _Kickoff] = Recent(_MOST_KICKOFFS)

    def review(self, context: FlowContext, standing: Standing) -> None:
        """Hold a flow, or let it go, as things stand with its kickoff now."""
        kickoff = self._kickoffs.get(standing.kickoff)
        if not standing.is_running:
            if kickoff is not None:
                self._kickoffs.drop(standing.kickoff)
                process_holdings.now.release(kickoff.flow_id, id(kickoff))
            return
        if kickoff is None:
            try:
                flow_id = flow_uuid(standing.flow_id)
            except InputInvalid:
                return  # Each report of it is refused, with the reason.
            kickoff = _Kickoff(flow_id, standing)
            self._kickoffs.put(standing.kickoff, kickoff)
        kickoff.standing = standing
        if not kickoff.is_held:
            kickoff.is_held = True
            since = clock.tick_microseconds(kickoff.flow_id)
            held = HeldFlow(kickoff.flow_id, context, standing.flow_type, since)
            process_holdings.now.hold(kickoff, held)
            process_holdings.begin()
