"""Secrets in command lines: behind an option, or in the place that a command has for a password."""

import re
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK
from masterflow.domain.payload.secrets.places import hidden_in_list
from masterflow.domain.payload.secrets.said import is_said_of

_COMMAND: Final = re.compile(
    r"(?<![\w.-])(?:mysql\w*|mariadb(?:-dump)?|sshpass|docker|podman|helm|mongo\w*|psexec|redis-cli|ldap\w+"
    r"|sqlcmd|bcp|isql|zip|unzip|7z|curl|smbclient|plink|pscp|psftp|putty|keytool|cqlsh|ipmitool|snmp\w+"
    r"|openssl|lftp|rabbitmqadmin|oc|az|beeline"
    r"|twine|useradd|usermod|htpasswd|mosquitto_\w+|rabbitmqctl|smbpasswd|vault|kubectl|heroku|net(?= user)"
    r"|ssh-keygen|gh|rdesktop|vncviewer|https?(?= )|ab|snowsql|influx|security|schtasks|evil-winrm"
    r"|crackmapexec|netexec|openconnect|steamcmd|bw|rclone"
    r")(?:\.exe)?(?=[\s\"',])"
)
# One of these stands in each of them: to look for them costs a tenth.
_COMMAND_WORDS: Final = (
    *(
        "mysql",
        "mariadb",
        "sshpass",
        "docker",
        "podman",
        "helm",
        "mongo",
        "psexec",
        "redis-cli",
        "ldap",
        "sqlcmd",
    ),
    *("bcp", "isql", "zip", "7z", "curl", "smbclient", "plink", "pscp", "psftp", "putty", "keytool", "cqlsh"),
    *("ipmitool", "snmp", "openssl", "lftp", "rabbitmq", "oc ", "oc'", 'oc"', "az ", "az'", 'az"', "beeline"),
    *(
        "twine",
        "useradd",
        "usermod",
        "htpasswd",
        "mosquitto",
        "smbpasswd",
        "vault",
        "kubectl",
        "heroku",
        "net user",
        "ssh-keygen",
        "gh ",
        "rdesktop",
        "vncviewer",
        "http ",
        "https ",
        "ab ",
        "snowsql",
        "influx",
        "security",
        "schtasks",
        "evil-winrm",
        "crackmapexec",
        "netexec",
        "openconnect",
        "steamcmd",
        "bw ",
        "rclone",
    ),
)
_ARGUMENT: Final = re.compile(r"""(?P<double>"(?:[^"\\\n]|\\.)*")|(?P<single>'[^'\n]*')|[^\s"']+""")
_COMMAND_CHARS: Final = 600
_ACL_PASSWORD: Final = re.compile(r"(?i)\bACL SETUSER [^\n]{0,200}?[ \"'][><](?P<value>[^\s\"']+)")
_REDIS_AUTH: Final = re.compile(
    r"(?:^|[>:\n] ?)AUTH (?:[\w-]{1,60} )?(?P<value>(?!\[masked|\()[^\s]+)[ \t]*(?:\r?\n|$)"
)
_NET_USE: Final = re.compile(r"(?i)(?P<kept>net\s+use\s[^\n]{0,200}?/user:\S+\s+)(?P<value>[^\s/*]\S*)")


def edits_in_commands(text: str) -> list[Edit]:
    """Return what is to be masked in command lines."""
    edits: list[Edit] = []
    commands = list(_COMMAND.finditer(text)) if any(word in text for word in _COMMAND_WORDS) else []
    ends = [command.start() for command in commands[1:]] + [len(text)]
    for command, end in zip(commands, ends, strict=False):
        line = text[command.start() : min(end, command.start() + _COMMAND_CHARS)].split("\n", 1)[0]
        words, spans = [], []
        for argument in _ARGUMENT.finditer(line):
            inset = 1 if argument["double"] or argument["single"] else 0
            words.append(argument[0][inset : len(argument[0]) - inset])
            spans.append(
                (command.start() + argument.start() + inset, command.start() + argument.end() - inset)
            )
        hidden = hidden_in_list(words) or words
        edits += [
            Edit(*span, new) for span, word, new in zip(spans, words, hidden, strict=True) if new != word
        ]
    for pattern in (_NET_USE, _ACL_PASSWORD, _REDIS_AUTH):
        edits += [
            Edit(*used.span("value")) for used in pattern.finditer(text) if not is_said_of(used["value"])
        ]
    return sorted({edit for edit in edits if text[edit.start : edit.end] != MASK})
