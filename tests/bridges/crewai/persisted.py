"""Flows that crewAI saves in their master rows, run in one process and gone on with in the next."""

import json
import os
import sys
import uuid
from contextlib import redirect_stdout
from typing import Any

from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow import Flow, FlowState, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import persist

import masterflow
from masterflow import BlockingFlowStates
from masterflow.bridges.crewai import PostgresFlowPersistence, flow
from masterflow.repository.settings import DatabaseSettings
from tests.bridges.crewai.scenarios import TENANTS

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:9/none"

states = BlockingFlowStates()
kept = PostgresFlowPersistence(states, TENANTS[0])


class Later:
    def request_feedback(self, context: Any, flow: Any) -> None:
        raise HumanFeedbackPending(context=context, callback_info={})


class Rows(FlowState):
    count: int = 0
    status: str = "of the user"
    current_phase: str = "of the user, too"


@persist(kept)
class Counting(Flow[Rows]):
    @start()
    def load(self) -> None:
        self.state.count += 1

    @listen(load)
    def check(self) -> int:
        self.state.count += 10
        return int(self.state.count)


@persist(kept)
class Loose(Flow):
    @start()
    def load(self) -> None:
        self.state["rows"] = [{"host": "ä"}]


@persist(kept)
class Approved(Flow):
    @start()
    @human_feedback(message="Approve the mapping?", provider=Later())
    def propose(self) -> dict[str, int]:
        self.state["proposed"] = 12
        return {"columns": 12}

    @listen(propose)
    def apply(self, given: Any) -> str:
        return f"{self.state['proposed']} applied: {given.feedback}"


def broken(strict: bool) -> Any:
    lost = BlockingFlowStates(DatabaseSettings(database_url=NOWHERE))

    @persist(PostgresFlowPersistence(lost, TENANTS[0], strict=strict))
    class Broken(Flow):
        @start()
        def load(self) -> int:
            return 7

    try:
        result = Broken().kickoff()
    except Exception as error:  # noqa: BLE001
        result = type(error).__name__
    return {"result": result, "lost": masterflow.outbox_status()["lost"]}


def ran(kind: type[Any], flow_id: str, **inputs: Any) -> Any:
    made = kind()
    result = made.kickoff(inputs={"id": flow_id, **inputs})
    return {"result": str(result), "state": json.loads(json.dumps(dict(made.state), default=str))}


def of_another_tenant(flow_id: str) -> Any:
    with flow(TENANTS[1]):
        own = ran(Counting, str(uuid.uuid4()))
        try:
            stolen = ran(Counting, flow_id)
        except Exception as error:  # noqa: BLE001
            stolen = type(error).__name__
    return {"own": own, "stolen": stolen}


SCENARIOS = {
    "counting": lambda flow_id: ran(Counting, flow_id),
    "loose": lambda flow_id: ran(Loose, flow_id),
    "proposed": lambda flow_id: ran(Approved, flow_id),
    "approved": lambda flow_id: {"result": str(Approved.from_pending(flow_id, kept).resume("yes"))},
    "still pending": lambda flow_id: kept.load_pending_feedback(flow_id) is not None,
    "broken": lambda _: broken(strict=False),
    "broken strictly": lambda _: broken(strict=True),
    "another tenant": of_another_tenant,
}

if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        seen = [SCENARIOS[name](flow_id) for name, flow_id in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(seen) + os.linesep)
