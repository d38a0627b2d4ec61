"""Secrets in lines of configuration: a name, a blank and the value, and what devices of a network are told.

`requirepass …`, `BindPassword …`, `snmp-server community … RO`, `username bob password 7 …`.
"""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import (
    MASK,
    is_about,
    is_anything,
    is_likely,
    is_no_number,
    normal_name,
    secrecy,
    words_of,
)
from masterflow.domain.payload.secrets.said import is_description

# What a line may begin with: what is told about it in a log or a difference.
_BEGIN: Final = r"(?m:^)(?:[\w.]{1,60}(?:Error|Exception): )?[ \t]*(?:[-+~>#] )?"
_VALUE: Final = (
    r"""(?:\\?"(?P<double>[^"\\\n]{1,300})\\?"|'(?P<single>[^'\n]{1,300})'"""
    r"""|(?P<bare>(?:(?!\\n)[^\s;"'\[]){3,300}))"""
)
_END: Final = r"""[ \t]*;?[ \t]*\r?(?=\\n|(?m:$))"""
# How a value is written, before it: `password 7 …`, `pre-shared-key ascii-text "…"`, `set passwd ENC …`.
_TYPE: Final = (
    r"(?:(?:[0-9]|level \d{1,2}|ENC|0x|encrypted|ascii-text|ascii|hexadecimal|hex|clear(?:text)?"
    r"|cleartext-password|plain-?text|unencrypted|hashed|sha-?\d{1,3}|md5|scrypt|text)[ \t]+){0,3}"
)

_DIRECTIVE: Final = re.compile(
    rf"{_BEGIN}(?:set |config |global )?(?P<name>[A-Za-z][\w.:-]{{2,60}})[ \t]+"
    rf"(?P<type>{_TYPE}){_VALUE}{_END}"
)
# Names that are also words: `password required` is no line of a configuration.
_WORDS: Final = words_of(
    """password passwords passwd passphrase passcode pwd pw secret secrets token tokens credential
    credentials cred creds cookie cookies authorization bearer jwt jwts mnemonic auth psk senha senhas
    clave contrasena parola heslo haslo geslo sifre salasana kennwort passwort wachtwoord passord losenord
    kodeord lozinka jelszo"""
)
# Behind these a mere word may be the value.
_OF_PASSWORDS: Final = re.compile(
    r"(?:pass|password|passwd|pw|pwd|passphrase|psk|auth|community|secret|key_string)$"
)
_KEYS: Final = re.compile(
    r"(?:key_string|pre_?shared_key(?:_local|_remote)?|authentication_key|shared_?key|psksecret)$"
)

# What devices are told: each begins with what stands in nothing else.
_DEVICE: Final = tuple(
    (needles, re.compile(f"(?:{pattern}){_TYPE}{_VALUE}"))
    for needles, pattern in (
        (("enable ",), rf"{_BEGIN}enable (?:algorithm-type \w+ )?(?:secret|password) "),
        (
            ("username ", "user "),
            rf"{_BEGIN}(?:set )?user(?:name)? (?!and\b|or\b|name\b)\S{{1,60}}"
            r"(?: (?:privilege|role|group|class|level|uid|view|admin|service-type|nopassword)"
            r"(?: (?!password|secret)[\w-]{1,30})?){0,3}"
            r" (?:insecure-)?(?:secret|password) ",
        ),
        (
            ("password ", "secret ", "key "),
            rf"{_BEGIN}(?:ip (?:ftp|http|ssh|scp)|aaa-server|line vty|tunnel-group|vpn|isis|area"
            r"|set (?:system|security|snmp|protocols|interfaces|access|vpn|service|groups))[ ]"
            r"(?:(?!password |secret )[^\s\"']{1,60} ){0,8}[\w-]{0,30}"
            r"(?:password(?:-value)?|secret|key|psk) ",
        ),
        ((" psk ",), r"\bpsk set-key "),
        (("neighbor ", "peer "), r"\b(?:neighbor|peer) [\w.:]{1,60} password "),
        ((" chap ", " pap "), r"\b(?:ppp|interface) (?:chap|pap) (?:sent-username \S{1,60} )?password "),
        (
            ("radius", "tacacs", "aaa "),
            r"\b(?:radius|tacacs\+?|aaa)(?:-server|[ ]server)?"
            r"(?:[ ](?!key|secret)[\w.:-]{1,60}){0,7}[ ](?:key|secret|shared-secret) ",
        ),
        (
            ("community",),
            r"(?:\bsnmp(?:-server)?|set|v\dc?|trap)[ ]community[ ](?!string|public\b|private\b)",
        ),
        (("community",), rf"{_BEGIN}(?:r[ow]|trap)community6? (?!public\b)"),
        (
            ("snmp", "2sink"),
            r"\b(?:snmp-server host \S{1,60}(?: traps| informs| vrf \S{1,60}){0,3} "
            r"version (?:1|2c|3 \w{1,10}) |trap2?sink \S{1,60} )",
        ),
        (("com2sec",), r"\bcom2sec6? (?:-Cn \S{1,60} )?\S{1,60} \S{1,60} "),
        (("auth ",), r"\bauth (?:md5|sha(?:-?\d+)?|MD5|SHA(?:-?\d+)?) "),
        (("priv ",), r"\bpriv (?:des56|3?des|aes(?:[ -]?(?:128|192|256))?|DES|AES(?:[ -]?\d+)?) "),
        (("createUser ",), r"\bcreateUser \S{1,60} (?:MD5|SHA(?:-?\d+)?) "),
        (
            ("isakmp", "ikev", "pre-shared-key"),
            r"\b(?:(?:isakmp|ikev[12]) key"
            r"|pre-shared-key(?: (?:local|remote))?(?: address \S{1,60}(?: \d\S{1,60})?)?(?: key)?)"
            r" (?!address|local|remote|key\b)",
        ),
        (("-key ",), r"\b(?:message-digest|authentication)-key (?:\d{1,5} (?:md5|sha\d*|hmac-\S{1,20}) )?"),
        (("key-string ",), r"\bkey-string "),
        (
            ("authentication ",),
            r"\b(?:standby|vrrp|hsrp|glbp) (?:\d{1,4} )?authentication (?:md5 key-string |text )",
        ),
        (("auth-pass ",), r"\bauth-pass \S{1,60} "),
        (("stats auth ",), r"\bstats auth [^\s:]{1,60}:"),
        (("]",), rf"{_BEGIN}\[[\w.-]{{1,100}}\](?::\d{{2,5}})?[ \t]+[^\s:]{{1,100}}:"),
        (("md5",), r"""["' ](?=md5[0-9a-f]{32}\b)"""),
        (("user ",), rf"{_BEGIN}user \S{{1,60}} (?:[a-z]{{1,12}} ){{0,3}}(?:~\S{{1,100}} )?[><]"),
    )
)
# The same behind a typed number, with digits in it: `password 7 0822455D0A16`.
_TYPED: Final = re.compile(
    r"\b(?:password|secret|passwd|passphrase|key|psk|community)[ ](?:[05-9]|ENC|ascii-text)[ ]"
    r"(?P<quote>[\"']?)(?P<value>(?=[^\s\"']{0,200}\d)(?=[^\s\"']{0,200}[A-Za-z$])[^\s\"';,]{8,200})"
)
_GROUPS: Final = ("double", "single", "bare")


def edits_in_directives(text: str) -> list[Edit]:
    """Return what is to be masked in lines of configuration."""
    return sorted({edit for edit in _edits(text) if text[edit.start : edit.end] != MASK})


def _edits(text: str) -> Iterator[Edit]:
    for needles, pattern in _DEVICE:
        if any(needle in text for needle in needles):
            for found in pattern.finditer(text):
                group = next(name for name in _GROUPS if found[name])
                if not _is_said(found[group]):
                    yield Edit(*found.span(group))
    for found in _TYPED.finditer(text):
        yield Edit(*found.span("value"))
    for found in _DIRECTIVE.finditer(text):
        group = next(name for name in _GROUPS if found[name])
        if _is_value(
            found["name"], found[group], found["type"], is_typed=bool(found["type"]) or group != "bare"
        ):
            yield Edit(*found.span(group))


def _is_value(name: str, value: str, written: str, *, is_typed: bool) -> bool:
    """Tell whether a line of these two is one of a configuration with a secret."""
    words = normal_name(name)
    is_key = _KEYS.search(words) is not None
    looks = is_anything if is_key else secrecy(name)
    if looks not in (is_anything, is_no_number) or not looks(value) or _is_said(value):
        return False
    if words in _WORDS:
        return "ENC" in written or "-text" in written
    return is_typed or is_likely(value) or is_key or _OF_PASSWORDS.search(words) is not None


def _is_said(value: str) -> bool:
    return (
        is_description(value)
        or is_about(value)
        or secrecy(value) is not None
        or value[0] in "$%{<[=:|("
        or _ACTION.fullmatch(value) is not None
    )


# What is done with a password: `enable password protection`, `admin_password mismatch`.
_ACTION: Final = re.compile(
    r"(?i)[a-z-]+(?:tion|sion|ment|ance|ence|ness|ship)|mismatch|lookup|refresh|sync|login|prompts?|hash"
    r"|list|store|vault|file|cache|parse|set(?:up|tings?)|read|write|for|from|and|or|in|on|via|with|(?:is|was|has)\b.*"
)
