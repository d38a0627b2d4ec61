"""Secrets among the words of a command: behind an option, or in the place that the command has for one.

`["mysql", "--password", …]`, `["htpasswd", "-b", "file", "bob", …]`, `["tool", "API_KEY", …]`.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from masterflow.domain.payload.secrets.names import MASK, is_anything, is_likely, secrecy, words_of
from masterflow.domain.payload.secrets.said import is_description
from masterflow.domain.payload.secrets.stores import hidden_in_store

_MOST_NAME_CHARS: Final = 80
_MOST_COMMAND_CHARS: Final = 300
_OPTION: Final = re.compile(r"(?:--?|/)[A-Za-z][\w-]{0,60}:?")
_IDENTIFIER: Final = re.compile(r"[\w.-]{2,80}(?: [\w.-]{1,40}){0,2}")
_PLAIN_WORDS: Final = re.compile(r"[a-z]+(?:[ _.-][a-z]+)*")

# Commands that take a password behind an option of one letter, and that letter. With a colon, what
# stands before one is a user's name; with a plus, the value may stand in the same word.
_SHORT_OPTIONS: Final = {
    "mysql": "-p+",
    "mysqldump": "-p+",
    "mysqladmin": "-p+",
    "mysqlimport": "-p+",
    "mariadb": "-p+",
    "mariadb-dump": "-p+",
    "sshpass": "-p+",
    "docker": "login -p+",
    "podman": "login -p+",
    "helm": "login -p+",
    "mongo": "-p+",
    "mongosh": "-p+",
    "mongodump": "-p+",
    "mongorestore": "-p+",
    "psexec": "-p+",
    "redis-cli": "-a",
    "ldapsearch": "-w",
    "ldapadd": "-w",
    "ldapmodify": "-w",
    "ldapdelete": "-w",
    "ldappasswd": "-w -s",
    "ldapwhoami": "-w",
    "sqlcmd": "-P+",
    "bcp": "-P+",
    "isql": "-P+",
    "zip": "-P+",
    "unzip": "-P+",
    "7z": "-p+",
    "curl": "-u: --user: -U: --proxy-user:",
    "smbclient": "-U%",
    "plink": "-pw",
    "pscp": "-pw",
    "putty": "-pw",
    "keytool": "-storepass -keypass",
    "cqlsh": "-p+",
    "ipmitool": "-P",
    "snmpwalk": "-c -A -X",
    "snmpget": "-c -A -X",
    "openssl": "-k -K -passin -passout",
    "lftp": "-u,",
    "rabbitmqadmin": "-p+",
    "oc": "login -p+",
    "az": "-p",
    "psftp": "-pw",
    "beeline": "-p",
    "twine": "-p+",
    "useradd": "-p",
    "usermod": "-p",
    "mosquitto_pub": "-P",
    "mosquitto_sub": "-P",
    "pymssql": "-P",
    "ssh-keygen": "-N -P",
    "gh": "secret -b+ --body",
    "rdesktop": "-p+",
    "vncviewer": "-passwd",
    "http": "-a: --auth:",
    "https": "-a: --auth:",
    "ab": "-A: -P:",
    "snowsql": "-p+",
    "influx": "-p -password",
    "security": "-w -p",
    "schtasks": "/rp",
    "evil-winrm": "-p",
    "crackmapexec": "-p",
    "netexec": "-p",
    "openconnect": "-p",
    "jarsigner": "-storepass -keypass",
    "apksigner": "--ks-pass --key-pass",
    "conjur": "-v",
}
_VARIABLE: Final = re.compile(r"\$\{?\w{1,80}\}?|\$\(.*|%\w{1,80}%", re.DOTALL)
# Without one of these, `az … -p` takes a path or a plan.
_BESIDE_PASSWORDS: Final = words_of("login -u --username --admin-user")
_REQUIRED: Final = frozenset({"login", "secret"})
# Commands in whose words a name stands before its value, and what must stand in them.
_PAIRING: Final = {
    "nmcli": re.compile(".*"),
    "wpa_cli": re.compile(".*"),
    "uci": re.compile("set"),
    "redis-cli": re.compile("(?i:set|config)"),
    **dict.fromkeys(
        ("git", "npm", "yarn", "pnpm", "composer", "poetry", "conda", "pip"), re.compile("config")
    ),
    "gsettings": re.compile("set"),
    "defaults": re.compile("write"),
    "aws": re.compile("configure"),
    "chamber": re.compile("write"),
    "consul": re.compile("put"),
    "etcdctl": re.compile("put|set"),
    "snap": re.compile("set"),
    "rclone": re.compile("create|update"),
    "setx": re.compile(".*"),
}
_AFTER_USER: Final = re.compile(r"[:%,]")

# Where a command has a password without an option before it: words that must stand in it, and how many come
# from the last of them to the password; none for the last word of all.
_PLACES: Final[dict[str, tuple[tuple[str, int | None], ...]]] = {
    "htpasswd": ((r"-\w*b\w*|--batch", None),),
    "mosquitto_passwd": ((r"-\w*b\w*", None),),
    "rabbitmqctl": (("add_user|change_password|authenticate_user", 2),),
    "net": (("user", 2),),
    "vault": (("login", 1),),
    "redis-cli": (("(?i:auth)", None),),
    "smbpasswd": (("-s", None),),
    "passwd": (("--stdin", None),),
    "steamcmd": ((r"\+login", 2),),
    "bw": (("login", 2), ("unlock", 1)),
    "rclone": (("obscure", 1),),
    "mysqladmin": (("password", 1),),
    "credstash": (("put", 2),),
    "chamber": (("write", 3),),
    "ansible-vault": (("encrypt_string", 1),),
    **dict.fromkeys(
        ("composer", "poetry"),
        ((r"http-basic\..+", 2), (r"(?:pypi-token|bearer|git(?:hub|lab)-(?:oauth|token))\..+", 1)),
    ),
}
# Commands that take `name=value` of secrets, and what must stand in them.
_ASSIGNING: Final = {
    "vault": re.compile("put|write|patch"),
    "kubectl": re.compile("secret|secrets"),
    "oc": re.compile("secret|secrets"),
    "docker": re.compile("secret"),
    "travis": re.compile("encrypt"),
    "op": re.compile("create|edit"),
}
#: The commands that are known, by their names.
COMMANDS: Final = frozenset({*_SHORT_OPTIONS, *_PAIRING, *_PLACES, *_ASSIGNING})
_ASSIGNED: Final = re.compile(r"(--from-literal=)?[A-Za-z_][\w.-]{0,60}=(?=.)(?![@])")


def hidden_after_name(name: str, value: str) -> bool:
    """Tell whether a text that follows a secret's name among other texts is one: it is no mere word."""
    looks = secrecy(name) if _IDENTIFIER.fullmatch(name) else None
    return looks is not None and looks(value) and not _PLAIN_WORDS.fullmatch(value) and not secrecy(value)


def short_options(command: str) -> tuple[str, ...]:
    """Return the options of a command, called by any path, behind which it takes a password."""
    return tuple(_SHORT_OPTIONS.get(_base(command), "").split())


def _base(command: str) -> str:
    return re.split(r"[/\\]", command)[-1].lower().removesuffix(".exe")


def option_names_secret(word: str) -> bool:
    """Tell whether a word such as `--db-password` or `/password` is an option that takes a secret."""
    return (
        _OPTION.fullmatch(word) is not None
        and word != "--with-token"
        and (secrecy(word) is is_anything or word.lstrip("-/") == "pass")
    )


def hidden_words(texts: dict[int, str]) -> dict[int, str]:
    """Return the items of a list of words to mask: behind an option, or behind a secret's name."""
    hidden = dict(hidden_in_store(texts))
    hidden.update(_in_places(texts))
    hidden.update(_in_pairs(texts))
    options = _options_of(texts)
    for place, item in texts.items():
        if place in hidden:
            continue
        following = texts.get(place + 1)
        if options and item.startswith("-"):
            hidden.update(_behind_short(place, item, following, options))
        if following and place + 1 not in hidden and _leads_to(item, following):
            hidden[place + 1] = MASK
    return {place: word for place, word in hidden.items() if not _VARIABLE.fullmatch(texts[place])}


def _in_places(texts: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Yield what is to be masked where a command has a place for a secret."""
    first = texts.get(0)
    command = _base(first) if first and len(first) <= _MOST_COMMAND_CHARS else ""
    for marks, distance in _PLACES.get(command, ()):
        marked = [place for place, text in texts.items() if re.fullmatch(marks, text)]
        if marked:
            place = marked[0] + distance if distance else max(texts)
            place += texts.get(place) == "--"
            if place > marked[0] and not texts.get(place, "-").startswith(("-", "/")):
                yield place, MASK
    assigning = _ASSIGNING.get(command)
    if assigning and any(assigning.fullmatch(text) for text in texts.values()):
        for place, text in texts.items():
            if assigned := _ASSIGNED.match(text):
                yield place, text[: assigned.end()] + MASK


def _in_pairs(texts: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Yield what stands behind the name of a secret among a command's pairs of names and values."""
    first = texts.get(0)
    pairing = _PAIRING.get(_base(first)) if first and len(first) <= _MOST_COMMAND_CHARS else None
    if pairing is None or not any(pairing.fullmatch(text) for text in texts.values()):
        return
    for place, name in texts.items():
        value = texts.get(place + 1)
        if (
            value
            and place
            and value[0] not in "-$<"
            and not is_description(value)
            and not secrecy(value)
            and len(name) <= _MOST_NAME_CHARS
            and secrecy(re.split("[/:]", name)[-1]) is is_anything
        ):
            yield place + 1, MASK


def _options_of(texts: dict[int, str]) -> tuple[str, ...]:
    """Return the options of the command that these words are, behind which a password stands."""
    first = [text for place, text in islice(texts.items(), 4) if place < 4]
    while first and first[0] in {"sudo", "env", "exec", "time", "nohup"}:
        first.pop(0)
    options = short_options(first[0]) if first else ()
    if first and _base(first[0]) == "az" and _BESIDE_PASSWORDS.isdisjoint(texts.values()):
        return ()
    # An option of letters only is a word that must stand in the command.
    required = {option for option in options if option.isalpha()} & _REQUIRED
    return options if required <= set(texts.values()) else ()


def _leads_to(item: str, following: str) -> bool:
    """Tell whether a word is followed by a secret."""
    if len(item) > _MOST_NAME_CHARS:
        return False
    if option_names_secret(item):
        return not following.startswith("--")
    if item.lower().startswith("/user:"):
        return following[:1] not in "/*"
    return hidden_after_name(item, following) and is_likely(following) and not following.startswith("--")


def _behind_short(
    place: int, item: str, following: str | None, options: Iterable[str]
) -> Iterator[tuple[int, str]]:
    for option in options:
        name, kind = option.rstrip(":%,+"), option[-1]
        if kind in ":%,":
            yield from _behind_user(place, item, following, name)
        elif item == name and following is not None:
            yield place + 1, MASK
        elif kind == "+" and len(name) == 2 and item.startswith(name) and len(item) > 2:
            yield place, name + MASK


def _behind_user(place: int, item: str, following: str | None, name: str) -> Iterator[tuple[int, str]]:
    """Yield `user:password` behind an option, or in the same word, without the password."""
    if item == name and following and (parted := _AFTER_USER.search(following)):
        yield place + 1, following[: parted.end()] + MASK
    elif len(name) == len("-u") and item.startswith(name) and (parted := _AFTER_USER.search(item)):
        yield place, item[: parted.end()] + MASK
