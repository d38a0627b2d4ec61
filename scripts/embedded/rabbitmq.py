"""A RabbitMQ node of Debian's package, with a folder, ports and an epmd of its own."""

import os
import subprocess
from pathlib import Path

from kombu import Connection

from masterflow.scripts.embedded.server import EmbeddedServer
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess

# Debian's /usr/sbin/rabbitmq-server runs the system's own node and nothing else.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_CONTROL = PROGRAM.with_name("rabbitmqctl")


class RabbitMQ(EmbeddedServer):
    """A node on loopback; who stops it finds its messages again when it starts."""

    name = "RabbitMQ"
    start_timeout_s = 90.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()

    @property
    def url(self) -> str:
        """Its `CELERY_BROKER_URL`."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def control(self, *command: str) -> None:
        """Run a command of rabbitmqctl."""
        environment = self._environment()
        subprocess.run(
            [_CONTROL, "--node", environment["RABBITMQ_NODENAME"], *command],
            env=environment,
            check=True,
            capture_output=True,
        )

    def _launch(self, lock: int) -> SupervisedProcess:
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").touch()
        return SupervisedProcess(
            [PROGRAM], env=self._environment(), folder=self.folder, log=self.log, grace_s=30, keep_open=[lock]
        )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_NODENAME": f"node{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
        }

    def _is_ready(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True
