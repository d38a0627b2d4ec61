"""What secrets look like in free text: the shapes to mask, and a cheap search that tells if any can be there.

Everything here takes linear time on any text. What repeats is possessive, bounded, or consumed by its match,
and a pattern begins with plain letters (no flags, no assertions), so that `re` skips to where one can stand.
"""

import base64
import re
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Final, NamedTuple

#: What stands in place of a secret.
MASK: Final = "[masked]"


class Shape(NamedTuple):
    """One kind of secret: it can only be in texts that contain `needle`."""

    needle: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = MASK


def _mask_jwt(found: re.Match[str]) -> str:
    """Mask what has the dots of a JWT; base64 of a plain JSON object stays."""
    return MASK if "." in found[0] else found[0]


def _mask_basic(found: re.Match[str]) -> str:
    """Mask base64 after `Basic` if it holds `user:password`; `basic training` stays."""
    word = found["value"].rstrip("=")
    try:
        is_secret = b":" in base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
    except Base64Error:
        is_secret = False
    return found["kept"] + MASK if is_secret else found[0]


_KEPT: Final = rf"\g<kept>{MASK}"
_BODY = r"_[0-9A-Za-z]{20,}\w*"
_KEY_NAME = r"PRIVATE KEY(?: BLOCK)?-----"

# scheme://user:password@host. A password may hold `@`, or `/` if no `@` comes before it; a port is none.
_LOGIN_IN_URL = (
    r"""://(?P<kept>[^\s/?#:@"'<>\[]*+:)(?!\d{1,5}(?:[/?#,;]|$))"""
    r"""(?:[^\s/?#"'<>@]*+(?:@[^\s/?#"'<>@]*+(?=@))*+(?<!:)|[^\s@"'<>]{1,64}+)(?=@)"""
)

#: In the order they are applied.
SHAPES: Final[tuple[Shape, ...]] = (
    # A private key, whole or with its end cut off; then one with its beginning cut off.
    Shape(
        "PRIVATE KEY",
        re.compile(
            rf"-----BEGIN [A-Z0-9 ]{{0,40}}{_KEY_NAME}(?:(?!-----)[A-Za-z0-9+/=\s\\:;,.()@<>-])*+"
            rf"(?:-----END [A-Z0-9 ]{{0,40}}{_KEY_NAME})?"
        ),
    ),
    Shape(
        "PRIVATE KEY",
        re.compile(rf"(?<![A-Za-z0-9+/=\s\\])[A-Za-z0-9+/=\s\\]++-----END [A-Z0-9 ]{{0,40}}{_KEY_NAME}"),
    ),
    Shape("://", re.compile(_LOGIN_IN_URL), f"://{_KEPT}"),
    Shape(
        "</",
        re.compile(r"(?P<kept><\w{0,30}?(?i:password|passwd|secret|api_?key|token)>)[^<\r\n]++"),
        _KEPT,
    ),
    # Signatures of signed URLs are as good as the credential that signed them.
    Shape("=", re.compile(r"(?P<kept>[sS](?<![A-Za-z].)[iI][gG](?i:nature)?=)[\w%+/~.=-]{16,}"), _KEPT),
    # mysql --password hunter2, ['--token', 'abc'], curl -u user:password
    Shape(
        "--",
        re.compile(
            r"""(?x)(?P<kept>--(?:\w{1,20}-){0,3}(?i:password|passwd|passphrase|secret|token|api-?key)
            (?:["'],)?[ ]++["']?)
            (?!(?:option|flag|argument|parameter|is|to|or|and|for|must|was|in)\b|-)[^\s"']++"""
        ),
        _KEPT,
    ),
    Shape("-u", re.compile(r"""(?P<kept>-u(?:ser)?["']?,?\s["']?[^\s:"'/]{1,64}:)[^\s"']++"""), _KEPT),
    Shape("", re.compile(r"(?P<kept>[bB](?i:earer)\s++)(?=[\w.~+/-]{0,63}\d)[\w.~+/=-]{8,}"), _KEPT),
    Shape("", re.compile(r"(?P<kept>[bB](?i:asic)\s++)(?P<value>[A-Za-z0-9+/]{8,}={0,2})"), _mask_basic),
    Shape("eyJ", re.compile(r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+)*"), _mask_jwt),
    Shape("hooks", re.compile(r"(?P<kept>hooks(?:\.slack\.com/\w+|/\d+)/)[A-Za-z0-9_/-]{16,}"), _KEPT),
    Shape("8Q~", re.compile(r"\w{3}8Q~[\w.~-]{30,}")),
    # Tokens that name their issuer: clouds, code hosts, registries, payment, chat, model providers.
    Shape(
        "",
        re.compile(
            rf"""(?ax)
              A(?: (?:KIA|SIA|BIA|CCA)[0-9A-Z]{{16,}} | Iza[\w-]{{30,}} | TATT3[\w=-]{{40,}}
                 | GE-SECRET-KEY-1\w{{40,}} | A(?<=\d:AA)[\w-]{{32,}} )
            | C CIPAT{_BODY}
            | G OCSPX-[\w-]{{20,}}
            | N RAK-\w{{20,}}
            | P MAK-[\w-]{{30,}}
            | S G\.[\w-]{{16,}}\.[\w-]{{16,}}
            | d(?: (?:ckr_pat|o[opr]_v1){_BODY} | api[0-9a-f]{{32,}} )
            | f igd{_BODY}
            | g(?: (?:h[pousr]|ithub_pat|lsa|sk){_BODY}
                 | l(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas)-[\w-]{{15,}} )
            | h(?: f(?<![A-Za-z0-9]hf){_BODY} | v[sbr]\.[\w-]{{20,}} )
            | l(?:in_api|sv2_pt|sv2_sk){_BODY}
            | n(?:pm|tn){_BODY}
            | p(?: scale_(?:tkn|pw){_BODY} | ypi-[\w-]{{40,}} | plx-\w{{40,}} )
            | r(?: (?:ubygems|k_live|k_test){_BODY} | 8(?<![A-Za-z0-9]r8){_BODY} )
            | s(?: (?:hp(?:at|ca|pa|ss)|ntry[su]|bp|k_live|k_test){_BODY}
                 | k-(?:(?<![A-Za-z0-9].k-)|(?<=\\[nrt].k-))
                   (?: (?:proj|svcacct|admin|ant|or|lf|None)-[\w-]{{16,}} | [0-9A-Za-z]{{24,}} ) )
            | t vly-[\w-]{{20,}}
            | w hsec{_BODY}
            | x(?: ox[a-z]-[\w-]{{10,}} | app-\d-[\w-]{{10,}} | ai-\w{{40,}} )
            | y a29\.[\w-]{{20,}}
            """
        ),
    ),
)

# The end of a name, up to what separates it from its value.
_THEN = r"""\d{0,3}[\\"'\] \t]*[:=>]"""

# By first letter, in both its cases: the rarest one of the words a branch stands for (pass-W-ord, to-K-en).
_WORD_ENDS = {
    "w": rf"(?i:or)?[dD]s?{_THEN}",
    "k": rf"(?:[eE][yYnN][sS]?{_THEN}|[iI][eE]{_THEN}|s\.slack|s/\d)",
    "c": rf"(?i:ret|redential)[sS]?{_THEN}",
    "p": rf"(?:(?i:hrase){_THEN}|(?<=dap)i)",
    "z": rf"(?i:ation){_THEN}",
    "j": rf"(?:[wW][tT]{_THEN}|(?<=eyJ))",
    "b": r"(?i:earer|asic)\s",
}
_TOKEN_PARTS = (
    _LOGIN_IN_URL,
    r":AA[\w-]{32}",
    r"_[0-9A-Za-z]{20}",
    r"=(?:(?<=[sSnN][iI][dD]=)|(?:(?<=[sS][iI][gG]=)|(?<=[nN][aA][tT][uU][rR][eE]=))[\w%+/~.=-]{16})",
    r"-(?:----(?:BEGIN|END) |-(?:\w{1,20}-){0,3}(?i:pass|secret|token|api)|u(?:ser)?[\"' ,]"
    r"|(?<=sk-)|(?<=xox[a-z]-)|(?<=(?:xapp|pypi|pplx|tvly|CSPX|PMAK|NRAK)-)|(?<=xai-)"
    r"|(?<=gl[a-z][a-z]-)|(?<=gl[a-z][a-z][a-z]-)|(?<=glsoat-)|(?<=glagent-))",
    r"A(?:KIA|SIA|BIA|CCA|Iza|TATT3|GE-SECRET)",
    r"\.(?:(?<=ya29\.)|(?<=SG\.)|(?<=hv[sbr]\.))",
    r"~(?<=8Q~)",
)

#: Finds something in every text that holds a secret of `SHAPES` or a secret's name with its value. All its
#: branches begin with a letter that is rare in texts: `re` finds that several times faster than whole words.
SUSPICION: Final = re.compile(
    "|".join(
        [
            *_TOKEN_PARTS,
            *(case + end for letter, end in _WORD_ENDS.items() for case in (letter, letter.upper())),
        ]
    )
)
