import asyncio

import pytest

from masterflow.domain.errors import TransientError
from masterflow.scripts.terminal.explanations import cause_of


async def wait_in_vain() -> None:
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError as error:
        raise TransientError("Redis does not answer.") from error


def test_a_server_that_stays_silent_is_told_as_one() -> None:
    with pytest.raises(TransientError) as caught:
        asyncio.run(wait_in_vain())
    assert cause_of(caught.value) == "no answer in time"
    assert cause_of(TimeoutError("Timeout connecting to server")) == "Timeout connecting to server"
