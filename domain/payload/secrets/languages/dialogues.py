"""Secrets that programs say to each other: FTP, POP and IMAP, SMTP, `expect`, pipes, and codes of a Wi-Fi."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK
from masterflow.domain.payload.secrets.said import is_said_of

# USER bob, PASS …: only where a dialogue of FTP or POP is told.
_PASS: Final = re.compile(r"\b(?:PASS|pass)[ ]+(?P<value>[^\s\"'\\]{3,200})(?=[\"'\\]|[ \t]*(?:\r?\n|$))")
_IS_DIALOGUE: Final = re.compile(
    r"(?i)\bUSER \S|\bftp\b|\bpop3?\b|\+OK|\b331\b|->|send(?:ing|cmd)?\b|\bC:|irc|NICK \S"
)
_SAID_BEFORE: Final = 200
# a1 LOGIN bob …
_LOGIN: Final = re.compile(
    r"(?<![\w-])[A-Za-z]{0,8}\d{1,8} LOGIN (?:\\?\"[^\"\n]{1,200}\"|[^\s\"]{1,200}) "
    r"(?:\\?\"(?P<quoted>[^\"\n]{1,200}?)\\?\"|(?P<bare>[^\s\"'\\]{1,200}))(?=[\"'\\]|\s*$|\s*\n)",
    re.MULTILINE,
)
# AUTH PLAIN dGVzd…, and what answers the lines that begin with 334.
_MECHANISM: Final = "(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|NTLM|EXTERNAL|GSSAPI|CRAM|DIGEST|SCRAM)"
_AUTH: Final = re.compile(
    rf"(?<![\w-])(?:AUTH|AUTHENTICATE|auth) {_MECHANISM}[\w-]{{0,12}} "
    rf"(?P<value>(?!{_MECHANISM})[A-Za-z0-9+/]{{6,}}={{0,2}})"
)
_ANSWER: Final = re.compile(
    r"\b334 [A-Za-z0-9+/=]{0,400}[^\n]{0,20}\n(?:[^\n ]{0,20} )?(?P<value>[A-Za-z0-9+/]{4,}={0,2})"
    r"[ \t'\"]*\r?(?:\n|$)"
)
# expect "assword:"; send "…\r"
_SENT: Final = re.compile(
    r"(?i:assword|assphrase|asscode|ogin|oken|\bPIN)[^\"'\n]{0,20}[\"'][^\"'\n]{0,40}\n?[^\"'\n]{0,40}\bsend(?:_?line)?\b[^\"'\n]{0,12}"
    r"(?P<quote>[\"'])(?P<value>(?:(?!(?P=quote))[^\\\n]){3,200})(?:\\[rn])*(?P=quote)"
)
_WIFI: Final = re.compile(
    r"WIFI:(?:[STHREAIUstheraiu]\w{0,2}:(?:\\.|[^;\\\n]){0,100};){0,6}P:(?P<value>(?:\\.|[^;\\\n]){1,200})"
)
# echo … | docker login --password-stdin; the right side takes a secret.
_PIPED: Final = re.compile(
    r"\b(?:echo|printf|print|Write-Output)(?=\s)(?:\s+(?:-\w+|[\"']%s(?:\\n)?[\"']))*\s+(?P<value>[^|\n]{1,200}?)\s*\|"
    r"[^|\n]{0,120}?(?:sudo\s+-S|-stdin\b|--stdin|with-token|passwd|password|passphrase|kinit\b|cryptsetup|gpg\b|smbclient"
    r"|\bsecrets?\b|auth\s+login|age\b|openssl\b|unlock\b|fscrypt|veracrypt|su\s|login\s+-)"
)
_HERE: Final = re.compile(
    r"(?:-stdin|with-token|passwd|password|cryptsetup|sudo -S|kinit|secret"
    r"|key(?:ring|store)|\bl?pass (?:insert|add|edit))[^|\n<]{0,60}<<<[ ]?"
    r"(?P<value>\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|[^\s|;&\"']{1,200})"
)
_VARIABLE: Final = re.compile(r"[\"']?(?:\$\{?[A-Za-z_(]|%\w+%|\[masked)")


def edits_in_dialogues(text: str) -> list[Edit]:
    """Return what is to be masked of what is sent."""
    return sorted({edit for edit in _edits(text) if text[edit.start : edit.end] != MASK})


def _edits(text: str) -> Iterator[Edit]:
    for needles, pattern in _PATTERNS:
        if any(needle in text for needle in needles):
            for found in pattern.finditer(text):
                group = found.lastgroup or ""
                group = "value" if group == "quote" else group
                if _is_secret(text, pattern, found, found[group]):
                    yield Edit(*found.span(group))


def _is_secret(text: str, pattern: re.Pattern[str], found: re.Match[str], value: str) -> bool:
    if pattern is _PASS:
        before = max(0, found.start() - _SAID_BEFORE)
        return _IS_DIALOGUE.search(text, before, found.start()) is not None and not is_said_of(value)
    return not _VARIABLE.match(value)


_PATTERNS: Final = (
    (("PASS ", "pass "), _PASS),
    (("WIFI:",), _WIFI),
    (("334 ",), _ANSWER),
    (("|",), _PIPED),
    (("<<<",), _HERE),
    (("LOGIN",), _LOGIN),
    (("AUTH", "auth "), _AUTH),
    (("send",), _SENT),
)
