"""Names whose values are secrets: told by their words, or by these and by what the value looks like."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Final

from masterflow.domain.payload.secrets.said import is_description, is_said_abroad

#: What stands in place of a secret.
MASK: Final = "[masked]"

#: Tells of a text under a name whether it is a secret.
Looks = Callable[[str], bool]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a list that is written as a text."""
    return frozenset(re.findall(r"\S+", text))


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")

# The words that tell are a name's last ones.
_TELLING_CHARS: Final = 80

# What may stand behind a secret's name and changes nothing.
_CARRIERS = re.compile(
    r"""(?x)(?:_(?:values?|val|plain|plaintext|clear|cleartext|raw|b_?64|base_?64|hash|hashed|digest
      |encrypted|enc|cipher|ciphertext|pem|der|confirm|confirmation|repeat|again|headers?|bytes|binary
      |content|base|material|prod|production|staging|live|dev|env|previous)|_?[0-9]{1,3}){1,3}$"""
)

# A token is always one, except those that are counted, priced, or part of a model's text.
_KOREAN = "|".join(
    unicodedata.normalize("NFKD", word) for word in ("\ube44\ubc00\ubc88\ud638", "\uc554\ud638")
)
# As `normal_name` leaves them: Greek, Persian, Hindi, Russian "secret" and "token".
_MORE_PASSWORDS: Final = (
    "\u03ba\u03c9\u03b4\u03b9\u03ba\u03bf\u03c2"
    "(?:_\u03c0\u03c1\u03bf\u03c3\u03b2\u03b1\u03c3\u03b7\u03c2)?"
    "|(?:\u06a9\u0644\u0645\u0647|\u0631\u0645\u0632)_\u0639\u0628\u0648\u0631"
    "|\u092a_\u0938\u0935\u0930\u0921"
    "|(?:^|_)\u0441\u0435\u043a\u0440\u0435\u0442|(?:^|_)\u0442\u043e\u043a\u0435\u043d"
)
_ALWAYS = re.compile(
    rf"""(?x)
    (?: pass_?(?:word|wd|wrd|w|phrase|code|wort)s? | (?:^|_)pass_?keys? | pwd | pswd | psswd
      | pass_word | pword | pw
      | kennwort | contrasenas? | senhas? | wachtwoord | (?:^|_)mdp
      | palavras?_passe | mot_de_passe | haslo | has_\u0142_o
      | losenord(?:et)? | passord(?:et)? | adgangskoden? | kodeord(?:et)? | salasana | heslo | jelszo
      | parola(?:si|niz)? | parool | sifre(?:si|niz|m|yi|nin)?
      | lozinka | geslo | mat_khau | kata_sandi
      | \u043f\u0430\u0440\u043e\u043b\u044c | \u5bc6[\u7801\u78bc] | \u53e3\u4ee4
      | \u30cf\u30b9\u30ef\u30fc\u30c8
      | {_KOREAN} | \u05e1\u05d9\u05e1\u05de\u05d4 | \u0643\u0644\u0645\u0629_\u0627\u0644\w+
      | \u0e23\u0e2b\u0e31\u0e2a\u0e1c\u0e48\u0e32\u0e19 | {_MORE_PASSWORDS}
      | secrets? | credentials? | creds? | authorizations? | cookies? | jwts? | bearer | mnemonic
      | (?:seed|recovery|secret|backup|key)_?phrase | (?:secret|security)_?answer
      | (?:api|access|account|auth|encryption|decryption|master|private|secret|session|shared|signing|ssh
        | subscription|fernet|hmac|aes|rsa|dsa|ecdsa|ed_?25519|gpg|pgp|tls|ssl|jwt|jwk|cipher|crypto
        | wrapping|unseal|recovery|wifi|wep|wpa|webhook|vault|sas|storage|csrf)_?keys?
      | key_material | private_exponent | (?:^|_)psk
      | sess(?:ion)?id | connect_sid | (?:session|auth|login)_(?:cookie|ticket)s?
      | saml_?(?:response|assertion|token)s? | (?:^|_)auth | master_?auth | require_?pass | auth_?tok
      | docker_?config_?json | dockercfg | snmp_?community | community_?string
      | (?<!per_)(?<!next_)(?<!page_)(?<!continuation_)(?<!first_)(?<!last_)(?<!input_)(?<!output_)
        (?<!prompt_)(?<!completion_)(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)(?<!stop_)
        (?<!special_)(?<!sync_)(?<!total_)(?<!max_)(?<!min_)token
    )$"""
)

# What may also be counted; a number under these is none.
_TOKENS = re.compile(
    r"""(?x)(?:access|refresh|auth|api|bearer|session|csrf|secret|security|service|bot|login|oauth|jwt|id|private
      |deploy|registration|personal|github|gitlab|slack|vault|device|push|reset)_?tokens$"""
)
_PASS = re.compile(
    r"""(?x)(?<!^)(?<!com)(?<!by)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!band)(?<!low)(?<!high)(?<!multi)(?<!single)
      (?<!get)(?<!low_)(?<!high_)(?<!multi_)(?<!single_)(?<!first_)(?<!second_)(?<!third_)(?<!last_)(?<!next_)
      (?<!final_)(?<!one_)(?<!two_)(?<!full_)(?<!band_)(?<!forward_)(?<!backward_)(?<!boarding_)(?<!test_)
      (?<!tests_)(?<!num_)(?<!must_)(?<!did_)(?<!by_)(?<!_[0-9]_)(?<!per_)(?<!cleaning_)(?<!validation_)
      (?<!season_)(?<!mountain_)(?<!to_)(?<!checks_)(?<!check_)(?<!each_)(?<!every_)(?<!this_)(?<!the_)
      (?<!a_)(?<!let_)(?<!all_)(?<!would_)(?<!cleanup_)(?<!mapping_)(?<!quality_)(?<!optimization_)pass$"""
)
_HELD = re.compile(
    r"""(?x)(?:^|_)(?:passwords?|passwd|pwd|passphrase|passcode|secrets?|api_?key|private_key|secret_key|client_secret
      |(?:access|auth|bearer|refresh|api)_?token|credentials?)((?:_[a-z0-9]+)+)$"""
)
# Behind a secret's name these say something about it.
_ABOUT: Final = words_of(
    """
    name names id ids arn version versions path paths file files filename folder dir url uri link type types
    kind length len size count counts number num min max minimum maximum policy policies rule rules
    strength age expiry expires expired expiration expire at on in of since until changed change changes
    reset resets required requires requirement requirements field fields column columns param params
    parameter parameters key keys label title description comment manager provider store source ref refs
    reference var variable rotation rotate created updated last date time timestamp ttl days day hours
    seconds enabled disabled valid invalid validity validation validator ok status state states error
    errors message msg attempts attempt tries history score scores protected protection less is are was
    has have set unset exists present missing empty null none algorithm algo hasher hashing iterations
    format complexity check checks checker test tests generator scope scopes role roles user username
    owner email usage used uses budget limit limits price cost scanner scanning scan found leaked leak
    leaks mask masked masking redacted management engine backend driver plugin mode method question page
    form prompt placeholder verified verification issuer audience endpoint service services group groups
    index prefix suffix level levels phase step steps result results report hint rate flow screen
    template hidden visible lifetime window endpoint host access server stdin prompted"""
)
_TOKEN_KINDS: Final = words_of(
    """access refresh id csrf xsrf bot api auth bearer session user app application secret service personal
    deploy device push reset oauth jwt login admin client master root"""
)
# A short number or code that a person types.
_CODE = re.compile(
    r"""(?x)(?:^|_)(?:pins?(?:_?codes?|_number)?|[th]?otps?(?:_code)?
      |(?:mfa|2_fa|tfa|sms|login|verification|security|recovery|backup|auth|authorization|access|unlock|one_time
        |totp|otp|device)_?codes?
      |cvvs?|cvcs?|cvv_?2|card_code)$"""
)
# What people of other languages call such codes and keys, of which a mere word may be one.
_SECRET_WORDS = re.compile(
    r"""(?x)(?:^|_)(?:(?:zugangs|zugriffs|sicherheits|bestatigungs|freischalt|aktivierungs|verifizierungs|anmelde|einmal
        |geheim|entsperr|wiederherstellungs|losungs
        |kode|code)_?(?:codes?|wort|schlussel|zahl|nummer|kennung) | geheimnis
      | (?:toegangs|beveiligings|verificatie|herstel)_?codes? | (?:kode|kod)_(?:dostepu|bezpieczenstwa)
      | code_(?:secret|confidentiel|d_acces|de_(?:securite|verification|confirmation|validation)) | code_pin
      | cle_(?:secrete|privee|api|d_acces|d_api)
      | codigo_(?:secreto|de_(?:acceso|acesso|seguridad|seguranca|verificacion|verificacao
        |confirmacion|confirmacao))
      | codice_(?:segreto|di_(?:accesso|sicurezza|verifica|conferma))
      | clave_(?:de_(?:acceso|api|cifrado)|secreta|privada) | chave_(?:secreta|privada|de_(?:acesso|api))
      | \u043a\u043e\u0434_(?:\u0434\u043e\u0441\u0442\u0443\u043f\u0430
        |\u043f\u043e\u0434\u0442\u0432\w+|\u0431\u0435\u0437\u043e\u043f\w+)
      | \u0441\u0435\u043a\u0440\u0435\u0442\u043d\w+_(?:\u043a\u043b\u044e\u0447|\u043a\u043e\u0434)
      | \u043f\u0438\u043d(?:_?\u043a\u043e\u0434)?
      | \u9a8c\u8bc1\u7801 | \u9a57\u8b49\u78bc | \u8ba4\u8bc1\u7801 | \u6697\u8a3c\u756a\u53f7
      )$"""
)
_LIKELY_KEYS = re.compile(
    r"""(?x)(?:^|_)(?:app|application|client|server|service|bot|admin|consumer|licen[cs]e|deploy|deployment
      |integration|ingest|ingestion|instrumentation|write|read|rest|activation|maps|cookie|smtp|mail|user|token
      |stripe|openai|anthropic|sendgrid|mailgun|twilio|datadog|google|azure|aws|db|database|root|data|field)_?keys?$"""
)

_ISSUED_KEYS = re.compile(
    r"(?:^|_)(?:openai|anthropic|azure|mistral|cohere|groq|stripe|sendgrid|mailgun|twilio|datadog|newrelic|algolia"
    r"|maps|licen[cs]e|activation|ingestion|instrumentation|integration)_keys?$"
)
_CLAVE = re.compile("(?:^|_)clave(?:_(?:de_acceso|secreta))?$")
_OTHER_KEYS = re.compile(
    r"""(?x)^(?!(?:.*_)?(?:public|pub|primary|foreign|idempotency|routing|partition|sort|cache|dedup|object|file|s_?3|row
      |record|group|hash|lookup|index|join|natural|unique|host|message|item|event|flow|phase|redis|storage_object)
      _key$).*_key$"""
)

_NUMBER = re.compile(r"[\s\d.,:;%/+TZ-]*")
_LIKELY = re.compile(
    r"(?=[^\s\d]{0,200}\d)(?=[^A-Za-z\s]{0,200}[A-Za-z])\S{6,}|(?=\w*[^\w\s.])[^\s.][^\s]{7,}"
)
_TYPED = re.compile(r"(?=[A-Za-z-]{0,12}\d)[A-Za-z\d]{1,12}(?:[ -]?[A-Za-z\d]{1,12}){0,5}")
_DULL = re.compile(
    r"(?i)[0-9a-f]{32,128}|[0-9a-f-]{36}|sha-?\d+|md5|base-?64|utf-?8|o?auth-?\d|aes-?\d+\S*|bcrypt|argon2\w*|v?\d+(?:[._]\w+)+|v\d+"
)
_SAID: Final = words_of(
    "yes no on off ok true false none null required optional missing enabled disabled failed passed done"
)


def names_tokens(name: str) -> bool:
    """Tell whether a name is that of several tokens, which may be those of a text too."""
    return normal_name(name[-_TELLING_CHARS:]).rsplit("_", 1)[-1] == "tokens" and secrecy(name) is None


def is_token_kind(name: str) -> bool:
    """Tell whether a name below `tokens` is that of a token, as `access` is and `input` is not."""
    return normal_name(name[-_TELLING_CHARS:]).removesuffix("_token") in _TOKEN_KINDS


def is_about(name: str) -> bool:
    """Tell whether a name below a secret's is that of something about it, as `type` is and `value` is not."""
    return not _ABOUT.isdisjoint(normal_name(name[-_TELLING_CHARS:]).split("_"))


def normal_name(name: str) -> str:
    """Return a name's words in small letters, with `_` between them."""
    if not name.isascii():
        plain = unicodedata.normalize("NFKD", name)
        name = "".join(char for char in plain if not unicodedata.combining(char) and char.isprintable())
    return "_".join(_WORD.findall(name)).lower()


@lru_cache(maxsize=2048)
def secrecy(name: str) -> Looks | None:
    """Return what tells whether a text under this name is a secret; None if never."""
    words = normal_name(name[-_TELLING_CHARS:])
    looks = next((looks for names, looks in _KINDS if names(words)), None)
    return is_no_path if looks and words in {"pwd", "oldpwd"} else looks


def _is_always(words: str) -> bool:
    return bool(_ALWAYS.search(words) or _ALWAYS.search(_CARRIERS.sub("", words)))


def _holds_one(words: str) -> bool:
    held = _HELD.search(words)
    return held is not None and _ABOUT.isdisjoint(held[1].split("_"))


@lru_cache(maxsize=2048)
def spaced_secrecy(words: str) -> Looks | None:
    """Return the same of several words of a sentence, of which fewer tell."""
    name = normal_name(words[-_TELLING_CHARS:])
    if _SECRET_WORDS.search(name):
        return is_secret_word
    if _ALWAYS.search(name):
        return is_anything
    return is_typed_code if _CODE.search(name) else None


def is_same_name(name: str, value: str) -> bool:
    """Tell whether a value is but its own name, as in code: `password=self.password`, `token = token`."""
    if not _ATTRIBUTE.fullmatch(value):
        return False
    own, words = normal_name(name), normal_name(value)
    last = normal_name(name.rsplit(".", 1)[-1])
    if "." in value and own.rsplit("_", 1)[-1] == words.rsplit("_", 1)[-1]:
        return True
    return f"_{own}".endswith(f"_{words}") or ("." in value and f"_{words}".endswith(f"_{last}"))


_ATTRIBUTE: Final = re.compile(r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*")


def looks_of(name: str) -> Looks | None:
    """Return what tells whether a text under these words is a secret: the last alone may be a whole name."""
    words = name.strip(" -.")
    if " " not in words:
        return secrecy(words)
    last = words.rsplit(" ", 1)[1]
    whole = spaced_secrecy(words) or (secrecy(last) if last.lower() == "clave" else None)
    return whole or (secrecy(last) if re.search(r"[a-z][A-Z]|\w[_.-]\w|[A-Z]{4}", last) else None)


def is_anything(_: str) -> bool:
    """Return yes: whatever stands under a password's name is one."""
    return True


def is_no_path(text: str) -> bool:
    """Tell whether a text is no place on a disk, as it is under a shell's `PWD`."""
    return not text.startswith(("/", "~", "\\\\")) and text[1:3] not in {":\\", ":/"}


def is_no_number(text: str) -> bool:
    """Tell whether a text is neither a number or time nor a word such as `yes`."""
    return not _NUMBER.fullmatch(text) and text.lower() not in _SAID


def is_typed_code(text: str) -> bool:
    """Tell whether a text is a code such as `4711` or `A1B2-C3D4`."""
    return len(text) >= 3 and _TYPED.fullmatch(text) is not None


def is_secret_word(text: str) -> bool:
    """Tell whether a text is a single word that says nothing about a code or key."""
    return (
        len(text) >= _LEAST_WORD_CHARS
        and not re.search(r"\s", text)
        and not is_description(text)
        and not is_said_abroad(text)
    )


_LEAST_WORD_CHARS: Final = 3


def is_likely(text: str) -> bool:
    """Tell whether a text is no word, nor a number, digest or version."""
    return _LIKELY.fullmatch(text[:200]) is not None and not _DULL.fullmatch(text)


def is_issued(text: str) -> bool:
    """Tell whether a text is likely a key, also one that looks like a digest."""
    return is_likely(text) or re.fullmatch(r"[0-9a-fA-F]{32,}", text) is not None


def is_random(text: str) -> bool:
    """Tell whether a text changes between small letters, capitals and digits as only a drawn one does."""
    if not 20 <= len(text) <= 512 or not re.fullmatch(r"[A-Za-z0-9+_-][A-Za-z0-9+/_-]*={0,2}", text):
        return False
    kinds = [0 if char.islower() else 1 if char.isupper() else 2 if char.isdigit() else 3 for char in text]
    changes = sum(one != other for one, other in pairwise(kinds))
    return {0, 1, 2} <= set(kinds) and changes > 0.4 * len(text)


# The first kind that fits counts.
_KINDS: Final[tuple[tuple[Callable[[str], object], Looks], ...]] = (
    (_SECRET_WORDS.search, is_secret_word),
    (_is_always, is_anything),
    (_TOKENS.search, is_no_number),
    (_PASS.search, is_no_number),
    (_CODE.search, is_typed_code),
    (_ISSUED_KEYS.search, is_issued),
    (_LIKELY_KEYS.search, is_likely),
    (_CLAVE.search, is_likely),
    (re.compile("^pass$").search, is_likely),
    (_holds_one, is_no_number),
    (_OTHER_KEYS.search, is_random),
)
