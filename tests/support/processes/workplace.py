"""A place where real workers work: a database, a Redis, a broker, what goes in and what comes out."""

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from kombu import Connection, Producer
from psycopg.rows import DictRow, dict_row
from sqlalchemy import make_url

from masterflow.domain import FlowContext
from masterflow.domain.events import Event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.counters import read_counters
from masterflow.tasks.dead_letters.letters import EVERY_LETTER, DeadLetter, DeadLetters, Selection
from masterflow.tasks.enqueue import Batch, Publisher, QueueSettings, redis_client
from masterflow.tasks.queues import ENRICHMENT_QUEUE, transport_options
from masterflow.tasks.queues import queue as declared_queue
from masterflow.tracker.outbox.segments import flow_ids_in
from tests.support.eventually import eventually
from tests.support.servers.guarded import ORCHESTRATOR

_ROOT = Path(__file__).parents[3]
_QUEUE_SETTINGS = (
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "ENRICHMENT_SENTINEL_MASTER",
    "ENRICHMENT_SIGNING_KEYS",
    "ENRICHMENT_WORKER_KEYS",
)


class Workplace:
    """The servers of one test and how it reaches them; `settings` are variables of the workers."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        #: What the processes of a role have in the place of that, such as a user of their own.
        self.roles: Mapping[str, Mapping[str, str]] = {}
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            **settings,
        }
        names = self.environment.keys() & set(_QUEUE_SETTINGS)
        self.settings = QueueSettings.model_validate({name: self.environment[name] for name in names})
        self.redis = redis_client(self.settings)
        self.publisher = Publisher(self.settings)
        self._database = make_url(database_url).set(drivername="postgresql")

    # -- processes

    def environment_of(self, role: str) -> dict[str, str]:
        """Return the variables of a process: no orchestrator has the workers' keys."""
        found = {**self.environment, **self.roles.get(role, {})}
        if role == ORCHESTRATOR:
            found.pop("ENRICHMENT_WORKER_KEYS", None)
        return found

    @contextmanager
    def worker(self, *arguments: str, name: str = "", **settings: str) -> Iterator[SupervisedProcess]:
        """Give a worker that is ready, by default with one child; `settings` are for this one alone."""
        hostname = f"{name or uuid.uuid4().hex[:8]}@test"
        self.redis.delete(f"{KEY_PREFIX}heartbeat:{hostname}")
        options = ["--hostname", hostname, "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        options += arguments or ["--concurrency", "1"]
        with self.celery("worker", *options, **settings) as process:
            eventually(lambda: self.is_ready(hostname) or not process.is_running, timeout_s=30)
            assert process.is_running, self.log.read_text()[-2000:]
            yield process

    @contextmanager
    def celery(self, *arguments: str, **settings: str) -> Iterator[SupervisedProcess]:
        """Give a running Celery command, whose role is called as it is."""
        with SupervisedProcess(
            [sys.executable, "-m", "celery", "--app", "masterflow.tasks.app", *arguments],
            env=self.environment_of(arguments[0]) | settings,
            folder=self.folder,
            log=self.log,
            grace_s=20,
        ) as process:
            yield process

    def channels(self) -> list[str]:
        """Return the channels of Redis that somebody listens to."""
        found: Any = self.redis.pubsub_channels()
        return [*found]

    def is_ready(self, hostname: str) -> bool:
        return bool(self.redis.exists(f"{KEY_PREFIX}heartbeat:{hostname}"))

    @property
    def log(self) -> Path:
        return self.folder / "celery.log"

    # -- in

    def publish(
        self, events: Sequence[Event | str], context: FlowContext, *, sender_id: str = "", batch_id: str = ""
    ) -> str:
        """Send events, models or JSON, as one batch of a client account; return the batch id."""
        texts = [event if isinstance(event, str) else event.model_dump_json() for event in events]
        batch = Batch(
            batch_id=batch_id or str(uuid.uuid4()),
            sender_id=sender_id,
            client_account_id=str(context.client_account_id),
            events=f"[{','.join(texts)}]",
            event_count=len(texts),
            flow_ids=flow_ids_in((text.encode() for text in texts), 4),
        )
        self.publisher.publish(batch)
        return batch.batch_id

    def send_task(
        self, name: str, *args: Any, task_id: str | None = None, queue: str = ENRICHMENT_QUEUE, **kwargs: Any
    ) -> str:
        """Send a task as a program that knows no more than the broker and the queue; return its id."""
        stranger = Celery("stranger", broker=self.settings.broker_url, set_as_current=False)
        stranger.conf.broker_transport_options = transport_options(self.settings)
        with stranger.connection_for_write() as connection:
            # A Queue is as good as its name, and brings its arguments for RabbitMQ.
            declared: Any = declared_queue(queue, self.settings.broker_url)
            sent = stranger.send_task(
                name, args, kwargs, task_id=task_id, connection=connection, queue=declared
            )
        return str(sent.id)

    def put(self, body: Any, **message: Any) -> None:
        """Put any message into the queue."""
        with self.connection() as connection, connection.channel() as channel:
            Producer(channel).publish(body, routing_key=ENRICHMENT_QUEUE, **message)

    def new_flow(self, context: FlowContext, flow_id: uuid.UUID | None = None) -> uuid.UUID:
        """Insert a master row and commit."""
        flow_id = flow_id or uuid.uuid4()
        with self.database() as database:
            database.execute(
                "insert into migration.crewai_flow_state_extensions"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_type)"
                " values (gen_random_uuid(), %s, %s, %s, %s, 'discovery')",
                [flow_id, context.client_account_id, context.engagement_id, context.user_id],
            )
        return flow_id

    # -- out

    def row(self, flow_id: uuid.UUID) -> DictRow:
        """Return the master row."""
        row = self.find_row(flow_id)
        assert row is not None
        return row

    def find_row(self, flow_id: uuid.UUID) -> DictRow | None:
        """Return the master row if there is one."""
        query = "select * from migration.crewai_flow_state_extensions where flow_id = %s"
        with self.database() as database:
            return database.execute(query, [flow_id]).fetchone()

    def confirmations(self, sender_id: str) -> list[dict[str, Any]]:
        """Return what a sender was told, without taking it away."""
        former: Any = self.redis.lrange(f"{KEY_PREFIX}confirmed:{sender_id}", 0, -1)
        answers: Any = self.redis.hgetall(f"{KEY_PREFIX}answers:{sender_id}")
        found = [{"batch_id": batch_id, **json.loads(text)} for batch_id, text in answers.items()]
        return [json.loads(text) for text in former] + [each for each in found if "applied" in each]

    def letters(self, selection: Selection = EVERY_LETTER) -> list[DeadLetter]:
        with self.dead_letters() as letters:
            return letters.read(selection, limit=20_000)

    def attempts(self, message_id: str) -> int:
        """Return how often a message was dealt with to the end."""
        note = self._attempt(message_id)
        return int(note["tries"]) if note["lost"] == 0 else 0

    def is_begun(self, message_id: str) -> bool:
        """Tell whether a worker has begun its first try of a message, and not ended it."""
        return bool(self._attempt(message_id)["lost"] == 1)

    def _attempt(self, message_id: str) -> dict[str, Any]:
        note: Any = self.redis.get(f"{KEY_PREFIX}attempt:{message_id}")
        found: dict[str, Any] = json.loads(note or '{"tries": 0, "lost": 0}')
        return found

    def replay(self, letters: DeadLetters, selection: Selection) -> int:
        return letters.replay(selection, publisher=self.publisher, redis=self.redis)

    def counters(self) -> dict[str, float]:
        return read_counters(self.redis)

    # -- the servers

    @contextmanager
    def dead_letters(self, *, max_letters: int = 10_000) -> Iterator[DeadLetters]:
        with self.connection() as connection:
            yield DeadLetters(connection, max_letters=max_letters)

    def connection(self) -> Connection:
        return Connection(self.settings.broker_url, transport_options=transport_options(self.settings))

    def database(self) -> psycopg.Connection[DictRow]:
        address = self._database.render_as_string(hide_password=False)
        return psycopg.connect(address, autocommit=True, row_factory=dict_row)

    def remove(self) -> None:
        """Close the connections and delete the folder."""
        self.publisher.close()
        self.redis.close()
        shutil.rmtree(self.folder)
