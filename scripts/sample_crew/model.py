"""A model that needs no key and no network: it answers each agent from a script, and takes its time."""

import time
from typing import Any, Final, Self

from crewai import BaseLLM
from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import llm_call_context
from pydantic import Field

#: Roughly what text makes of tokens: https://platform.openai.com/tokenizer says four characters each.
_CHARS_A_TOKEN: Final = 4

Answer = str | Exception


class ScriptedModel(BaseLLM):
    """Tells crewAI of each call what a provider's model tells; an exception in the script is raised."""

    pace_s: float = 0.0
    answers: list[Answer] = Field(default_factory=list)

    @classmethod
    def at_pace(cls, pace_s: float) -> Self:
        """Return a model without a script, each of whose answers takes `pace_s` seconds."""
        return cls(model="scripted-1", pace_s=pace_s)

    def saying(self, *answers: Answer) -> Self:
        """Return this model with these answers, in this order."""
        copy: Self = self.model_copy(update={"answers": list(answers)})
        return copy

    def call(self, messages: Any, *_: Any, from_task: Any = None, from_agent: Any = None, **__: Any) -> str:
        """Return the next answer, or raise it."""
        with llm_call_context():
            self._emit_call_started_event(messages, from_task=from_task, from_agent=from_agent)
            time.sleep(self.pace_s)
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                self._emit_call_failed_event(str(answer), from_task=from_task, from_agent=from_agent)
                raise answer
            usage = {
                "prompt_tokens": len(str(messages)) // _CHARS_A_TOKEN,
                "completion_tokens": len(answer) // _CHARS_A_TOKEN,
            }
            kind = LLMCallType.LLM_CALL
            self._emit_call_completed_event(
                answer, kind, from_task=from_task, from_agent=from_agent, usage=usage
            )
            return answer

    def supports_function_calling(self) -> bool:
        """Return no: its answers name tools in text."""
        return False

    def supports_stop_words(self) -> bool:
        """Return no: its answers end where they should."""
        return False
