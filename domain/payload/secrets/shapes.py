"""What secrets look like in free text: the shapes to mask.

Everything here takes linear time on any text. What repeats is possessive, bounded, or consumed by its match,
and a pattern begins with plain letters (no flags, no assertions), so that `re` skips to where one can stand.
"""

import base64
import re
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Final, NamedTuple

from masterflow.domain.payload.secrets.names import MASK, secrecy


class Shape(NamedTuple):
    """One kind of secret: it can only be in texts that contain `needle`."""

    needle: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = MASK


def _mask_jwt(found: re.Match[str]) -> str:
    """Mask what has the dots of a JWT; base64 of a plain JSON object stays."""
    return MASK if "." in found[0] else found[0]


def _mask_named(found: re.Match[str]) -> str:
    """Mask a value whose name is a secret's."""
    looks = secrecy(found["name"])
    return found["kept"] + MASK if looks is not None and looks(found["value"]) else found[0]


def _mask_user(found: re.Match[str]) -> str:
    """Mask the password in `-u user:password`; what `python -u` runs and a user's number stay."""
    line = found.string[max(0, found.start() - 80) : found.start()].rsplit("\n", 1)[-1]
    is_none = _RUNNER.search(line) or found["value"].isdigit() or found["kept"].endswith(".py:")
    return found[0] if is_none else found["kept"] + MASK


_RUNNER: Final = re.compile(r"\b(?:python[\d.]*|pypy[\d.]*|uvicorn|gunicorn|ps|sort|chown)\b[^|;&]*$")


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
LOGIN_IN_URL: Final = (
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
    Shape("://", re.compile(LOGIN_IN_URL), f"://{_KEPT}"),
    # A token in place of a user: https://0123456789abcdefghij@git.example.com
    Shape("@", re.compile(r"://(?=[A-Za-z_-]{0,63}\d)[\w-]{20,255}+(?=@)"), f"://{MASK}"),
    # jdbc:oracle:thin:scott/tiger@db, sqlplus scott/tiger@db
    Shape("@", re.compile(r"(?P<kept>thin:\"?[^\s/:@\"']{1,64}/\"?)[^\s@\"']{1,128}(?=\"?@)"), _KEPT),
    Shape(
        "lplus",
        re.compile(
            r"(?P<kept>lplus(?:\.exe)?(?:\s+-\w+)*\s+[\"']?[^\s/@\"'-][^\s/@\"']{0,63}/)[^\s@\"']{1,128}"
        ),
        _KEPT,
    ),
    # What Postgres, LDAP, Unix and web frameworks keep of a password.
    Shape(
        "$",
        re.compile(
            r"\$(?:2[abxy]?|[156y]|apr1|argon2(?:id|i|d)|scrypt|pbkdf2(?:-\w+)?|gy|7|S|P|H)\$[\w./+=,$-]{12,}"
        ),
    ),
    Shape(
        "$",
        re.compile(
            r"(?P<kept>(?:pbkdf2_sha\d+|scrypt|pbkdf2:sha\d+|bcrypt_sha256|argon2)[:$])[\w./+=,$:-]{20,}"
        ),
        _KEPT,
    ),
    Shape(
        "}",
        re.compile(r"(?P<kept>\{(?:S?SHA\d{0,3}|S?MD5|CRYPT|PBKDF2[\w-]*|ARGON2)\})[\w./+=$,-]{12,}"),
        _KEPT,
    ),
    Shape("SCRAM-", re.compile(r"SCRAM-SHA-(?:1|256)\$[\w:+/=$]{20,}")),
    # netrc
    Shape(
        "login",
        re.compile(
            r"(?P<kept>(?:machine\s{1,20}\S{1,255}|default|^|\n[ \t]*)\s{0,20}"
            r"login\s{1,20}\S{1,255}\s{1,20}password\s{1,20})(?:(?!\\n)\S)+"
        ),
        _KEPT,
    ),
    Shape(
        "machine",
        re.compile(r"(?P<kept>machine\s{1,20}\S{1,255}\s{1,20}password\s{1,20})(?:(?!\\n)\S)+"),
        _KEPT,
    ),
    # pgpass: host:port:database:user:password
    Shape(
        ":",
        re.compile(
            r"(?m)(?P<kept>:(?:\d{4,5}|\*):(?!\d+:)[^\s:/]{1,64}:(?!(?i:error|warning|warn|info|debug|critical|note|fatal):)"
            r"[^\s:/]{1,64}:)(?!\s)[^\s]+$"
        ),
        _KEPT,
    ),
    Shape(
        "Private-Lines",
        re.compile(r"(?P<kept>Private-Lines: ?\d{1,4}\s+)(?:[A-Za-z0-9+/=]{1,100}(?:\s|\\n|\\r|$)+)+"),
        _KEPT,
    ),
    # What a run of CI is told to mask, or to hand on under a secret's name.
    Shape("add-mask", re.compile(r"(?P<kept>::add-mask::)(?:(?!\\n)[^\r\n\"'\[])+"), _KEPT),
    Shape(
        "##vso[task.set",
        re.compile(
            r"(?P<kept>##vso\[task\.set(?:secret|variable [^\]\n]{0,200}(?i:issecret=true)[^\]\n]{0,200})\])"
            r"(?:(?!\\n)[^\r\n\"'])+"
        ),
        _KEPT,
    ),
    Shape(
        "name=",
        re.compile(
            r"(?P<kept>(?:::set-output |::save-state |::set-env |##vso\[task\.setvariable )(?:variable|name)="
            r"(?P<name>[\w.-]{1,64})[^\]\n:]{0,200}(?:::|\]))(?P<value>(?:(?!\\n)[^\r\n\"'])+)"
        ),
        _mask_named,
    ),
    # PRAGMA key = 'secret', ATTACH … KEY 'secret'
    Shape(
        "=",
        re.compile(r"(?P<kept>[pP](?i:ragma)\s+(?:hex|re)?[kK](?i:ey)\s*=\s*[\"']?(?:x')?)[^\s\"';]+"),
        _KEPT,
    ),
    Shape("'", re.compile(r"(?P<kept>[aA][sS]\s+\w{1,60}\s+[kK](?i:ey)\s+)'(?:[^']|'')*+'"), _KEPT),
    Shape(
        "sp_",
        re.compile(r"(?P<kept>sp_(?:addlogin|password)\s+N?'[^'\n]{0,200}',\s*N?)'[^'\n]{1,200}'"),
        _KEPT,
    ),
    # ipsec.secrets
    Shape(
        ":",
        re.compile(r"(?P<kept>: (?:PSK|EAP|XAUTH|NTLM|PIN) {1,8}\\{0,2}\")[^\"\\\n]{1,300}"),
        _KEPT,
    ),
    Shape("/pass:", re.compile(r"(?P<kept>/pass:)(?![/*\s])[^\s\"']+"), _KEPT),
    # CREATE USER bob IDENTIFIED BY 'secret'
    Shape(
        "IDENTIFIED",
        re.compile(
            r"(?P<kept>IDENTIFIED\s+(?:WITH\s+\S{1,60}\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s+|VALUES\s+)?)"
            r"(?:'(?:[^'\\]|''|\\.)*+'?|\"[^\"]*+\"?|[^\s;'\"\\]+)"
        ),
        _KEPT,
    ),
    Shape(
        "dentified",
        re.compile(
            r"(?P<kept>(?:[uU][sS][eE][rR]|[rR][oO][lL][eE]|\b[tT][oO])\s+\S{1,130}\s+[iI]dentified\s+(?:with\s+\S{1,60}\s+)?by\s+)"
            r"(?:'(?:[^'\\]|''|\\.)*+'?|\"[^\"]*+\"?|[^\s;'\"\\]+)"
        ),
        _KEPT,
    ),
    Shape("REPLACE", re.compile(r"(?P<kept>BY \[masked\]\s+REPLACE\s+)['\"][^'\"]{1,200}['\"]"), _KEPT),
    Shape(
        "SAML",
        re.compile(
            r"(?P<kept>SAML(?:Response|Request|art)[\"'\\]{0,4}\s?[=:]\s?[\"'\\]{0,4})[\w+/=%.-]{12,}"
        ),
        _KEPT,
    ),
    # What a SAML assertion says is as good as a sign-in.
    Shape(
        "Assertion",
        re.compile(
            r"(?P<kept><(?:\w{1,20}:)?Assertion\s)(?=[^<>]{0,300}=)(?:[^<]|<(?!/(?:\w{1,20}:)?Assertion>))++"
        ),
        f"{_KEPT}>",
    ),
    Shape("redential", re.compile(r"(?P<kept>redentials?\s+[\"']?[\w.@-]{1,64}[:/])[^\s\"'\[]{3,}"), _KEPT),
    # new NetworkCredential("bob", "secret"), HTTPBasicAuth('bob', 'secret'), ConvertTo-SecureString "secret"
    Shape(
        "(",
        re.compile(
            r"(?P<kept>(?:redentials?|[aA]uth|[aA]uthenticate|[sS]ign_?[iI]n|[lL]og_?[iI]n|User|Password"
            r"|[cC]reate_user|[aA]dd_user|set_password)\(\s*(?P<quote>[\"'])"
            r"[^\"'\n]{1,200}(?P=quote)\s*,\s*(?P=quote))[^\"'\n]+"
        ),
        _KEPT,
    ),
    Shape(
        "SecureString",
        re.compile(r"(?P<kept>SecureString\s+(?:-String\s+)?[\"'])[^\"'\n]+"),
        _KEPT,
    ),
    Shape(
        "SecureString",
        re.compile(
            r"(?P<kept>To-SecureString\s+(?:-(?:String|AsPlainText|Force)\s+){0,3}+)(?![$\[(-])[^\s\"'()]{3,}"
        ),
        _KEPT,
    ),
    # 493021 is your one-time code
    Shape(
        " is ",
        re.compile(
            r"(?P<value>[0-9]{4,8}|[A-Z0-9]{3,4}-[A-Z0-9]{3,4})"
            r"(?P<kept> is (?:your|the) (?:[\w-]{1,20} ){0,3}(?:code|PIN|pin|OTP|password|passcode)\b)"
        ),
        rf"{MASK}\g<kept>",
    ),
    # form-data; name="password" and its value below
    Shape(
        "name=",
        re.compile(
            r"(?P<kept>name=\"(?P<name>[\w.\[\]-]{1,64})\"[^\n]{0,200}\n(?:[\w-]{1,40}:[^\n]{0,200}\n){0,3}\r?\n)"
            r"(?P<value>[^\r\n]+)"
        ),
        _mask_named,
    ),
    # What SQL functions encrypt with.
    Shape(
        "crypt(",
        re.compile(r"(?P<kept>crypt\(\s*)'(?:[^']|'')*+'"),
        _KEPT,
    ),
    Shape(
        "crypt(",
        re.compile(
            r"(?P<kept>(?:pgp_sym_(?:en|de)|aes_(?:en|de))crypt\([^()']{1,200}(?:'[^']{0,200}'[^()']{0,20})?,\s*)'(?:[^']|'')*+'"
        ),
        _KEPT,
    ),
    # What a server of one's own sends back to an application after a sign-in.
    Shape(
        "=",
        re.compile(
            r"(?P<kept>[?&](?:code|key|k|sig|auth|t|access|session)=)(?=[A-Za-z_-]{0,63}\d)[\w%+/~.=-]{20,}"
        ),
        _KEPT,
    ),
    Shape(
        "=",
        re.compile(
            r"(?P<kept>[?&](?:code|key|sig|auth|access|session)=)(?=[^\s&A-Z]{0,63}[A-Z])(?=[^\s&a-z]{0,63}[a-z])"
            r"(?=[^\s&0-9]{0,63}[0-9])[\w%+/~.=-]{10,}"
        ),
        _KEPT,
    ),
    # The key that stands beside its id.
    Shape(
        "A",
        re.compile(r"(?P<kept>A(?:KI|SI)A[0-9A-Z]{16}[\s\"',:;|]{1,6})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
        _KEPT,
    ),
    # Keys in base64, as in a kubeconfig; and the body of one without its first line.
    Shape(
        "LS0tLS1CRUdJTi",
        re.compile(
            r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJMSUMg|BUUlVTVEVE|BQS0NTNy|BTU0ggUFVC|BTU0gyIFBV)"
            r"(?:[A-Za-z0-9+/=_-]|\\[nr]|\s+(?=[A-Za-z0-9+/=_-]{16}))+"
        ),
    ),
    Shape(
        "IBA",
        re.compile(
            r"MII[A-Za-z0-9+/]{3}IBA[A-Za-z0-9+/](?:[A-Za-z0-9+/=]|\\[nr]|\s+(?=[A-Za-z0-9+/=]{16})){24,}"
        ),
    ),
    Shape(
        "CAQEE",
        re.compile(r"MH[cQ]CAQEE[A-Za-z0-9+/](?:[A-Za-z0-9+/=]|\\[nr]|\s+(?=[A-Za-z0-9+/=]{16})){24,}"),
    ),
    Shape(
        "b3BlbnNzaC1rZXk", re.compile(r"b3BlbnNzaC1rZXk(?:[A-Za-z0-9+/=]|\\[nr]|\s+(?=[A-Za-z0-9+/=]{16}))+")
    ),
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
            r"""(?x)(?P<kept>--(?!with-token)(?:\w{1,20}-){0,3}(?i:password|passwd|passphrase|secret|token|api-?key)
            (?:["'],)?[ ]++["']?)
            (?!(?:option|flag|argument|parameter|is|to|or|and|for|must|was|in)\b|-)[^\s"']++"""
        ),
        _KEPT,
    ),
    Shape(
        "-u",
        re.compile(r"""(?P<kept>-u(?:ser)?["']?,?\s["']?[^\s:"'/]{1,64}:)(?P<value>[^\s"']++)"""),
        _mask_user,
    ),
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
