"""Makes a user of the broker for each role: what the server has to be told, and the settings of each role."""

import hashlib
import secrets
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from masterflow.scripts.terminal.entrance import run_program
from masterflow.tasks.rights.rabbitmq import AMQP_ROLES, commands
from masterflow.tasks.rights.roles import ROLES, orchestrator_role

_PASSWORD_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """A user of Redis, and what he may do."""

    name: str
    password: str
    rules: tuple[str, ...]

    def acl_line(self) -> str:
        """Return the user as a line of an ACL file, which holds no password but its SHA-256."""
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        return f"user {self.name} on sanitize-payload #{digest} {' '.join(self.rules)}"


def redis_users(orchestrators: Iterable[str], *, is_before_7: bool = False) -> list[BrokerUser]:
    """Return a user for each role and for each orchestrator, with new passwords."""
    roles = {**ROLES, **{name: orchestrator_role(name) for name in orchestrators}}
    return [
        BrokerUser(
            name,
            secrets.token_urlsafe(_PASSWORD_BYTES),
            tuple(role.merged_rules if is_before_7 else role.rules),
        )
        for name, role in roles.items()
    ]


def settings_of(user: BrokerUser, users: Iterable[BrokerUser], *, host: str) -> dict[str, str]:
    """Return the settings of the processes of a role: an orchestrator publishes as another user."""
    settings = {"REDIS_URL": _url(user, host)}
    if user.name not in ROLES:
        [publisher] = [it for it in users if it.name == "publisher"]
        settings["CELERY_BROKER_URL"] = _url(publisher, host)
    return settings


def _url(user: BrokerUser, host: str) -> str:
    return f"redis://{user.name}:{user.password}@{host}/0"


def make_users(
    orchestrator: Annotated[
        list[str], typer.Option(help="The name of an orchestrator's user; as many as you like.")
    ],
    host: Annotated[str, typer.Option(help="Where its processes reach it.", show_default="localhost")] = "",
    *,
    redis_6: Annotated[
        bool, typer.Option("--redis-6", help="Print what Redis 6.2 understands, which says less exactly.")
    ] = False,
    rabbitmq: Annotated[
        bool, typer.Option("--rabbitmq", help="Print commands of rabbitmqctl instead.")
    ] = False,
) -> None:
    """Print an ACL file for Redis 7 or newer, and in comments the settings that each role needs.

    Give the file to Redis with `aclfile`, after you have moved the comments to where each role runs.
    """
    if rabbitmq:
        _print_commands(orchestrator, host or "localhost:5672")
    else:
        _print_acl(orchestrator, host or "localhost:6379", is_before_7=redis_6)


def _print_commands(orchestrators: Iterable[str], host: str) -> None:
    roles = {name: it for name, it in AMQP_ROLES.items() if name != "orchestrator"}
    for name in orchestrators:
        orchestrator_role(name)
        roles[name] = AMQP_ROLES["orchestrator"]
    for name, permissions in roles.items():
        # No option of a command begins as it does.
        password = secrets.token_hex(_PASSWORD_BYTES)
        for command in commands(name, permissions, password=password):
            typer.echo(shlex.join(["rabbitmqctl", *command]))
        typer.echo(f"# {name}: CELERY_BROKER_URL=amqp://{name}:{password}@{host}//")


def _print_acl(orchestrator: Iterable[str], host: str, *, is_before_7: bool) -> None:
    users = redis_users(orchestrator, is_before_7=is_before_7)
    for user in users:
        typer.echo(user.acl_line())
    # The file keeps its `default` user as Redis has it, unless it is switched off here.
    typer.echo("user default off")
    for user in users:
        if user.name == "publisher":
            continue
        typer.echo(f"# {user.name}")
        for name, value in settings_of(user, users, host=host).items():
            typer.echo(f"# {name}={shlex.quote(value)}")


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(make_users)

if __name__ == "__main__":
    run_program(lambda: app(standalone_mode=False))
