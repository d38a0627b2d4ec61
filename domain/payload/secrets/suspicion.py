"""A cheap search that tells whether there can be a secret in a text at all; most are passed on its word.

Each of its branches begins with a character that is rare in texts, and there are few: `re` skips from one
such character to the next, and at each tries all branches. It stops at what may be a secret's name, whatever
comes behind it.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Final

from masterflow.domain.payload.secrets.shapes import LOGIN_IN_URL


def _any_case(word: str) -> str:
    return "".join(f"[{char}{char.upper()}]" for char in word)


# By a rare letter, what stands around it in the names of secrets: (to)k-en, (s)e-c-ret, (o)t-p, (aut)h.
_STEM_ENDS: Final = {
    "p": (
        "(?<=[mM][dD].)(?![A-Za-z])",
        _any_case("ass"),
        "[wW]",
        "[sS][kKwW]",
        r"[iI][nN][sS]?(?![A-Za-z])",
        _any_case("hras"),
        "(?<=[oO][tT].)",
        _any_case("aro") + "[lLoO]",
    ),
    "c": (
        _any_case("red"),
        "[rR](?:[eE]|\xe8)[tT]",
        "[vV][vVcC]",
        _any_case("ontras"),
        _any_case("ommunit"),
        _any_case("ode") + r"""s?(?=[\\"'\] \t]*(?:[:=]|[iI][sS][ \t]))""",
        "ode(?<=[gt]scode)",
        "onfidenti?el(?=[ \t\xa0]*[:=])",
        "odewort",
        r"""[e\xe8]ss?o?(?=[ \t\xa0]*(?:[:=\uff1a]|est? |\xe8 ))""",
        "(?<=[nN][eE][mM][oO][nN][iI].)",
        "htwo",
    ),
    "k": (
        "(?<=[tT][oO].)[eE][nN]",
        "[eE][yY](?![wWbB])",
        _any_case("ennw"),
        "(?<=[oO].)[iI][eE]",
        "ode(?<=ngskode)",
        "odeord",
        "ata[ ]sandi",
        "odewort",
    ),
    "h": (
        "eslo",
        "eim(?<=[gG]eheim)(?:nis|zahl|wort|schl)",
        "(?<=[aA][uU][tT].)(?![oO][rR](?![iI])|[eE][nN])",
        "[aA](?<=[sS][eE][nN]..)",
    ),
    "j": ("[wW][tT]", "elsz"),
    "z": ("inka(?<=lozinka)",),
    "b": (_any_case("earer"),),
    "v": ("[eE](?<=[cC][lL][aA]..)",),
}

_STEM_ENDS_BY_CASE: Final = {
    case: ends for letter, ends in _STEM_ENDS.items() for case in (letter, letter.upper())
}

#: What names passwords in other scripts: Russian, Chinese, Japanese, Korean, Hebrew, Arabic, Thai, and
#: with letters of their own Swedish, Polish, Turkish, Vietnamese.
_FOREIGN: Final = (
    "[\u043f\u041f]\u0430\u0440\u043e\u043b\u044c|\u5bc6[\u7801\u78bc]|\u53e3\u4ee4"
    "|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638|\uc554\ud638|\u05e1\u05d9\u05e1\u05de\u05d4"
    "|\u0643\u0644\u0645\u0629[ ]\u0627\u0644|\u0e23\u0e2b\u0e31\u0e2a\u0e1c\u0e48\u0e32\u0e19"
    "|\u0434\u043e\u0441\u0442\u0443\u043f\u0430|\u043a\u043b\u044e\u0447|\u043f\u0438\u043d-?\u043a\u043e\u0434"
    "|salasana|geslo|\xf6senord|(?<=has)\u0142o|\u015fifre|kh\u1ea9u"
    # Russian "secret" and "token", Greek, Persian, Hindi; codes in Chinese and Japanese.
    "|\u0441\u0435\u043a\u0440\u0435\u0442|\u0442\u043e\u043a\u0435\u043d|\u03ba\u03c9\u03b4\u03b9\u03ba"
    "|\u0639\u0628\u0648\u0631|\u092a\u093e\u0938\u0935\u0930\u094d\u0921"
    "|\u9a8c\u8bc1\u7801|\u9a57\u8b49\u78bc|\u8ba4\u8bc1\u7801|\u6697\u8a3c\u756a\u53f7|\u8a8d\u8a3c\u30b3\u30fc\u30c9"
)

# Names of secrets as they stand in base64.
_BASE64_WORDS: Final = (
    *("pass", "Pass", "PASS", "secret", "Secret", "SECRET", "token", "Token", "TOKEN"),
    *("api_key", "apiKey", "API_KEY", "PRIVATE"),
)
# The characters at which they are looked for: in most texts rarer than others, or looked at anyway.
_BASE64_ANCHORS: Final = "QJVKHBCPUAZXjkvbpch"


def _in_base64(word: str, offset: int) -> str:
    """Return what stands in base64 of every text that holds a word at this place of three bytes."""
    coded = base64.b64encode(b"\0" * offset + word.encode()).decode()
    return coded[-(-offset * 8 // 6) : (offset + len(word)) * 8 // 6]


_IN_BASE64: Final = tuple(_in_base64(word, offset) for word in _BASE64_WORDS for offset in range(3))


def _base64_ends() -> dict[str, list[str]]:
    ends: dict[str, list[str]] = {}
    for coded in _IN_BASE64:
        anchor = next((char for char in _BASE64_ANCHORS if char in coded), coded[0])
        ends.setdefault(anchor, []).append(f"{coded[coded.index(anchor) + 1 :]}(?<={coded})")
    return ends


# The same names in hexadecimal digits, with or without something between two bytes.
_HEX_WORDS: Final = ("pass", "secr", "toke", "PASS", "SECR", "TOKE")


def _hex_ends() -> dict[str, list[str]]:
    ends: dict[str, list[str]] = {}
    for word in _HEX_WORDS:
        digits = ".{0,3}?".join(f"{ord(char):02x}" for char in word)
        ends.setdefault(digits[0], []).append(digits[1:].replace("f", "[fF]").replace("b", "[bB]"))
    return ends


# Of tokens that name their issuer, and of all other shapes.
_SHAPE_ENDS: Final = {
    ":": (
        LOGIN_IN_URL[1:],
        r"//[\w-]{20}",
        r"AA[\w-]{32}",
        r"(?:\d{4,5}|\*):[^\s:/]+:[^\s:/]+:",
        "(?<=/[uU][sS][eE][rR].)",
        r"(?<=add-mask::)|(?<=\]:)\d",
        "set (?<=config:set )",
        ' (?:PSK|EAP|XAUTH|NTLM|PIN) ["\\\\]',
        # Finnish and Slovene, and what `expect` waits for: their own letters are no rare ones.
        "(?<=salasana:)|(?<=geslo:)|(?<=assword:)|(?<=[dpy] word:)|(?<=[dpy] words:)",
    ),
    "_": ("[0-9A-Za-z]{20}", "user (?<=add_user )", "addlogin"),
    "=": (
        "(?<=salasana=)|(?<=geslo=)|(?<=salasana =)|(?<=geslo =)",
        "(?<=[sSnN][iI][dD]=)",
        r"(?:(?<=[sS][iI][gG]=)|(?<=[nN][aA][tT][uU][rR][eE]=)|(?<=[?&][st]=))[\w%+/~.=-]{16}",
    ),
    "-": (
        "----(?:BEGIN|END) ",
        "u(?:ser)?[\"' ,]",
        r"u[\w.-]{1,40}:",
        r"S(?<=\s-S)",
        "[pPwakUK](?<=[\\s\"']-.)",
        "(?<=sk-)|(?<=xai-)|(?<=(?:xapp|pypi|pplx|tvly|CSPX|PMAK|NRAK)-)",
        "(?<=xox[a-z]-)",
        "(?<=gl[a-z][a-z]-)|(?<=gl[a-z][a-z][a-z]-)|(?<=glsoat-)|(?<=glagent-)",
    ),
    "A": (
        r"ssertion\s",
        "(?:KIA|SIA|BIA|CCA|Iza|TATT3|GE-SECRET)",
    ),
    ".": (r"(?<=[9Gsbr]\.)(?:(?<=ya29\.)|(?<=SG\.)|(?<=hv[sbr]\.))",),
    "~": ("(?<=8Q~)", r"\S{0,60} [+&%-]"),
    "$": (
        r"(?:2[abxy]?|[1567yPHS]|apr1|argon2\w{0,2}|scrypt|pbkdf2|gy)\$",
        "(?<=scrypt.)|(?<=sha256.)|(?<=sha512.)|(?<=sha1.)",
    ),
    "{": ("(?:S?SHA|S?MD5|CRYPT|PBKDF2|ARGON2)",),
    "%": ("(?:25){0,3}(?:3[aA]%(?:25){0,3}2[fF]|[67][0-9a-fA-F]%)",),
    "\\": (r"u[0-9a-fA-F]{4}\\+u",),
    "v": ("ersion (?:2c|3) ", "ery word"),
    "5": ("(?<=md5)[0-9a-f]{32}",),
    "k": (r"s\.slack", r"s/\d", r"init\b", r"ty(?=[\"'\\])", "ed(?<=--masked)", "up word"),
    "j": ("(?<=eyj)", "(?<=eyJ)", "dbc:"),
    "J": ("(?<=eyJ)", "Ti(?<=UdJTi)"),
    "b": ("3BlbnNzaC1", r"asic[\s.]", r"y\s(?<=dentified by\s)"),
    "B": (
        r"(?:asic|ASIC)\s",
        r"A(?<=MII[A-Za-z0-9+/]{3}IBA)",
        r"Y\s(?<=DENTIFIED BY\s)",
    ),
    "Q": ("EE(?<=CAQEE)", "(?i:lplus)"),
    "q": ("(?i:lplus)",),
    "P": ("rivate-Lines",),
    "W": ("IFI:", "ord(?<=assWord)"),
    "G": ("IN (?<=LOGIN )",),
    "M": ("L(?<=SAML)",),
    "C": ("RAM-",),
    "c": (
        r"rypt(?:\(|[_-]s| [A-Z])",
        "om2sec",
        "ryptsetup",
        "ureString",
        "ode(?:(?<=ime.code)|(?<=ion.code)|(?<=gin.code)|(?<=ess.code)|(?<=ity.code))",
    ),
    "U": ("SER(?<=SETUSER)", r"ser\("),
    "/": (r"add\b(?<=\s/add)",),
}


def _pattern(*tables: Mapping[str, Sequence[str]]) -> str:
    """Return what finds any of these: each first letter once, so that at most letters nothing is tried."""
    ends: dict[str, list[str]] = {}
    for table in tables:
        for letter, more in table.items():
            ends.setdefault(letter, []).extend(more)
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(more)})" for letter, more in ends.items())


_ALL: Final = _pattern(_STEM_ENDS_BY_CASE, _SHAPE_ENDS, _base64_ends(), _hex_ends())

#: Stands in every name of a secret, in one of its last words.
STEM: Final = f"{_pattern(_STEM_ENDS_BY_CASE)}|{_FOREIGN}"

#: Finds something in every text of ASCII that holds a secret.
SUSPICION: Final = re.compile(_ALL)

#: The same for all other texts.
FOREIGN_SUSPICION: Final = re.compile(f"{_ALL}|{_FOREIGN}")

#: Stands in base64 that may hold a secret.
IN_BASE64: Final = re.compile("|".join((*_IN_BASE64, "eyJ")))

#: Stands in hexadecimal digits that may hold one.
IN_HEX: Final = re.compile(_pattern(_hex_ends()))
