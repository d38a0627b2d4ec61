"""Servers are read, mapped, assessed and written about, with a tool and a model that are busy at first."""

import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from crewai import Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool

from masterflow.scripts.sample_crew.model import Answer, ScriptedModel

_SERVERS: Final = Path(__file__).parents[1] / "sample_flow" / "servers.csv"
_FINAL: Final = "Thought: I now can give a great answer\nFinal Answer: {}"
_LOOK_UP: Final = 'Thought: I look it up\nAction: look_up_column\nAction Input: {{"column": "{}"}}'
_KNOWN: Final = {"RAM (GB)": "memory_gb", "Business Owner": "owner"}


class CatalogueBusy(Exception):
    """The catalogue of columns answers later."""


class ServerAssessment(Flow):
    """Assesses the sample's servers; the model's answers are scripted, and everything else really runs."""

    def __init__(self, model: ScriptedModel) -> None:
        super().__init__()
        self._scripted = model

    @start()
    def read_inventory(self) -> int:
        """Read the servers."""
        time.sleep(self._scripted.pace_s)
        with _SERVERS.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.state["columns"] = list(rows[0])
        self.state["applications"] = Counter(row.get("Application", "") for row in rows)
        return len(rows)

    @listen(read_inventory)
    def map_columns(self) -> str:
        """Let one agent find the columns' meaning, with a tool that is busy at first."""
        return self._crew(
            ("Schema Expert", "Map the columns", "The columns are mapped."),
            tools=[catalogue()],
            before=[_LOOK_UP.format(column) for column in ("RAM (GB)", *_KNOWN)],
        )

    @listen(map_columns)
    def assess_applications(self) -> str:
        """Let two agents weigh what to move first."""
        return self._crew(
            ("Dependency Analyst", "Find what belongs together", "Billing depends on three others."),
            ("Risk Assessor", "Weigh what to move first", "Move the ledger first."),
        )

    @listen(assess_applications)
    def write_report(self) -> str:
        """Let an agent write; its model is overloaded at first, and the agent begins again."""
        return self._crew(
            ("Technical Writer", "Write the report", "The report is written."),
            before=[ConnectionError("503: the model is overloaded, try again")],
        )

    def _crew(
        self,
        *members: tuple[str, str, str],
        tools: list[Any] | None = None,
        before: list[Answer] | None = None,
    ) -> str:
        tasks = []
        for role, work, result in members:
            model = self._scripted.saying(*(before or []), _FINAL.format(result))
            agent = Agent(role=role, goal=work, backstory="Has done it often.", llm=model, tools=tools or [])
            tasks.append(Task(name=work, description=work, expected_output="A sentence", agent=agent))
        crew = Crew(agents=[task.agent for task in tasks], tasks=tasks, memory=False, verbose=False)
        return str(crew.kickoff())


def catalogue() -> Any:
    """Return a tool that is busy when it is asked first."""
    asked = 0

    @tool("look_up_column")
    def look_up_column(column: str) -> str:
        """Return what a column of an inventory means.

        Raises:
            CatalogueBusy: it was asked for the first time.
        """
        nonlocal asked
        asked += 1
        if asked == 1:
            raise CatalogueBusy("The catalogue of columns is busy.")
        return _KNOWN[column]

    return look_up_column
