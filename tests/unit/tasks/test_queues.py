from unittest.mock import PropertyMock

import pytest
from kombu import Connection
from kombu.exceptions import VersionMismatch

from masterflow.domain import SettingsInvalid
from masterflow.tasks.queues import broker_connection
from masterflow.tasks.settings import QueueSettings


def test_a_kombu_that_cannot_use_this_redis_is_named_and_is_no_broker_that_is_away(monkeypatch):
    mismatch = VersionMismatch("Redis transport requires redis-py versions 6.1.0 or later")
    monkeypatch.setattr(Connection, "transport", PropertyMock(side_effect=mismatch))
    settings = QueueSettings.model_validate({"REDIS_URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(SettingsInvalid, match=r"cannot use this redis.*6.1.0 or later.*kombu<5.5"):
        broker_connection(settings, timeout_s=0.1)
