"""A running status API for tests: a process of its own, on a free port, with tokens for anybody."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from masterflow.domain import FlowContext
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.status.access.tokens import issue_token
from masterflow.status.settings import StatusSettings
from tests.support.eventually import eventually

_ROOT = Path(__file__).parents[3]

JWT_KEY = "a secret of the tests, long enough for HS256"
PROBE_TOKEN = "the probe token of the tests"


class StatusSite:
    """`python -m masterflow.status`, started when entered; `settings` are environment variables."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": JWT_KEY})
        self.log = folder / "status.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "ENRICHMENT_JWT_KEY": JWT_KEY,
            "ENRICHMENT_STATUS_PROBE_TOKEN": PROBE_TOKEN,
            **settings,
        }
        self._folder = folder
        self._client = httpx.Client(trust_env=False, verify=False, timeout=10)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "masterflow.status", "--port", "0"]
        self.log.unlink(missing_ok=True)
        self.process = SupervisedProcess(command, env=self._environment, folder=self._folder, log=self.log)
        address = eventually(lambda: re.search(r"http://[\d.:]+", self.log.read_text()), timeout_s=20)
        assert address
        self.url = address[0]
        eventually(self._answers, timeout_s=20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()
        self._client.close()

    def token(
        self,
        context: FlowContext,
        *,
        engagements: Iterable[UUID] | None = (),
        user_id: str = "",
        lifetime_s: float = 600,
        may_control: bool = False,
    ) -> str:
        return issue_token(
            self.settings,
            context.client_account_id,
            engagement_ids=None if engagements is None else [context.engagement_id, *engagements],
            user_id=user_id or context.user_id,
            lifetime_s=lifetime_s,
            may_control=may_control,
        )

    def bearer(self, context: FlowContext, **options: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(context, **options)}"}

    def client(self, context: FlowContext, **options: Any) -> httpx.AsyncClient:
        headers = self.bearer(context, **options)
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=10, trust_env=False, verify=False
        )

    def get(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        answer = self._client.get(f"{self.url}{path}", headers=headers, **options)
        self._client.cookies.clear()
        return answer

    def post(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        answer = self._client.post(f"{self.url}{path}", headers=headers, **options)
        self._client.cookies.clear()
        return answer

    def _answers(self) -> bool:
        try:
            return self.get("/health/live").is_success
        except httpx.TransportError:
            assert self.process.is_running, self.log.read_text()
            return False
