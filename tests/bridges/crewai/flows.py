"""Real flows of crewAI, one function for each scenario; `scenarios.py` runs them."""

import asyncio
import time
from contextlib import suppress
from typing import Any, ClassVar

from crewai import Agent, BaseLLM, Crew, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow import Flow, and_, listen, or_, router, start
from crewai.flow.human_feedback import human_feedback
from crewai.llms.base_llm import llm_call_context
from crewai.tools import tool
from pydantic import Field

from masterflow import phase

SECRET = "api_key=sk-abcdefghijklmnop1234"


class ScriptedModel(BaseLLM):
    """Answers from a list; an exception in it is raised."""

    answers: list[Any] = Field(default_factory=list)

    def call(self, messages: Any, *_: Any, from_task: Any = None, from_agent: Any = None, **__: Any) -> Any:
        with llm_call_context():
            self._emit_call_started_event(messages, from_task=from_task, from_agent=from_agent)
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                self._emit_call_failed_event(str(answer), from_task=from_task, from_agent=from_agent)
                raise answer
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            kind = LLMCallType.LLM_CALL
            self._emit_call_completed_event(
                answer, kind, from_task=from_task, from_agent=from_agent, usage=usage
            )
            return answer

    def supports_function_calling(self) -> bool:
        return False

    def supports_stop_words(self) -> bool:
        return False


FINAL = "Thought: I now can give a great answer\nFinal Answer: {}"
USE_TOOL = 'Thought: I use it\nAction: broken\nAction Input: {"question": "x"}'


@tool("broken")
def broken(question: str) -> str:
    """Never works."""
    raise RuntimeError(f"the tool is down, {SECRET}")


def crew(answers: list[Any], **task: Any) -> Crew:
    model = ScriptedModel(model="scripted-1", answers=answers)
    agent = Agent(
        role="Mapper", goal="map", backstory="maps", llm=model, tools=[broken], verbose=False, memory=False
    )
    work = Task(name="mapping", description="map it", expected_output="ok", agent=agent, **task)
    return Crew(agents=[agent], tasks=[work], verbose=False, memory=False)


class Sequence(Flow):
    before_b: ClassVar[Any] = None

    @start()
    def a(self):
        time.sleep(0.02)
        if type(self).before_b is not None:
            type(self).before_b()
        return 1

    @listen(a)
    def b(self):
        return 2


class Hanging(Flow):
    """Never ends by itself."""

    @start()
    def fetch(self):
        return 1

    @listen(fetch)
    def wait(self):
        time.sleep(600)


class Nobodys(Flow):
    @start()
    def a(self):
        return 1


class Parallel(Flow):
    @start()
    def begin(self):
        return 1

    @listen(begin)
    def left(self):
        time.sleep(0.2)

    @listen(begin)
    async def right(self):
        await asyncio.sleep(0.1)

    @listen(and_(left, right))
    def join(self):
        return 2


class Cycle(Flow):
    @start()
    def begin(self):
        self.state["n"] = 0

    @router(or_(begin, "again"))
    def check(self):
        self.state["n"] += 1
        return "work" if self.state["n"] < 3 else "enough"

    @listen("work")
    def cycle(self):
        return None

    @router(cycle)
    def loop(self):
        return "again"


class Loop(Flow):
    """Runs 80 methods: the first, 40 times `step` and 39 times `work`."""

    @start()
    def begin(self):
        self.state["n"] = 0

    @router(or_(begin, "again"))
    def step(self):
        self.state["n"] += 1
        return "go" if self.state["n"] < 40 else "enough"

    @router("go")
    def work(self):
        return "again"


class Failing(Flow):
    error: ClassVar[Any] = None

    @start()
    def a(self):
        return 1

    @listen(a)
    def b(self):
        if type(self).error is not None:
            raise type(self).error
        return 2


class ParallelFailing(Flow):
    @start()
    def x(self):
        time.sleep(0.05)
        raise ValueError("x broke")

    @start()
    async def y(self):
        await asyncio.sleep(30)


class Later:
    def request_feedback(self, context, flow):
        raise HumanFeedbackPending(context=context, callback_info={})


class Approved(Flow):
    @start()
    @human_feedback(message="Approve the mapping?", provider=Later())
    def propose(self):
        time.sleep(0.05)
        return str(crew([FINAL.format("draft")]).kickoff())

    @listen(propose)
    def apply(self):
        return str(crew([FINAL.format("done")]).kickoff())


class Crewed(Flow):
    answers: ClassVar[list[Any]] = []
    guardrail: ClassVar[Any] = None

    @start()
    def prepare(self):
        return 1

    @listen(prepare)
    def map_it(self):
        more = {"guardrail": type(self).guardrail, "guardrail_max_retries": 2} if type(self).guardrail else {}
        return str(crew(list(type(self).answers), **more).kickoff())


class Asked(Flow):
    """A human answers while the method waits."""

    @start()
    @human_feedback(message="Go on?")
    def ask(self):
        time.sleep(0.05)


class Inner(Flow):
    @start()
    def work(self):
        raise LookupError("inner broke")


class Outer(Flow):
    @start()
    def call(self):
        try:
            Inner().kickoff()
        except LookupError:
            return "caught"

    @listen(call)
    def after(self):
        return 1


class HandWired(Flow):
    @start()
    def flaky(self):
        with suppress(ConnectionError), phase("fetch"):
            raise ConnectionError("503 from the provider")
        with phase("fetch"):
            return 1

    @listen(flaky)
    def passes_on(self):
        with phase("store"):
            raise OSError("the disk is gone")
