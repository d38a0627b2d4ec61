"""What is said of a password, and therefore is none: `required`, `must be long`, `str`, `expired`."""

import re
from typing import Final

# A word behind "the password is" that says something about it.
_WORD: Final = re.compile(
    r"""(?ix)(?:\w+(?:ed|ing|able|ible|ory|ent|ant|ive|ous|ful|less|ly|ical|ity)
      | un\w+ | in(?:valid|correct|secure)\w*
      | not | no | too | weak | strong | empty | wrong | missing | null | none | set | ok | okay | fine
      | bad | good | old
      | new | same | different | short | long | right | here | there | never | always | also | only
      | being | been | to | in
      | on | at | of | for | from | by | with | without | the | a | an | this | that | it | its | your
      | my | our | their
      | mandatory | optional | needed | unknown | public | private | secret | stale | dead | gone | out
      | off | known | safe
      | plain | text | plaintext | blank | absent | present | true | false | yes | what | how | where
      | when | why | one
      | well | up | down | over | done | late | due | case | either | both | sent | kept | read | lost
      | found | shown
      | hidden | given | taken | broken | stolen | chosen | written | hashed | part | and | or | but | if
      | as | so | than | see)"""
)

# The same in other languages, behind a name of theirs.
_FOREIGN_WORD: Final = re.compile(
    r"""(?ix)(?:\w{3,}(?:lich|los|bar|haft|bien|oire|[o\xf3]ri[ao]s?|u[ea]s?|[ai]d[ao]s?|[ai]t[ae]|\xe9e?|\xe8re|ante|ente
      |nal|leg|t\xf6m)
      | falsch | nicht | richtig | kein\w* | zu | noch | erforderlich | korrekt | leer | sehr | schwach
      | sicher | jetzt | incorrecte?s? | correcte?s? | invalide | oubli\w* | faux | vide | trop | pas
      | faible | fort | requise? | incorrect[ao]s? | correct[ao]s? | inv\w*lid[ao]s? | vac\w[ao] |
      d\xe9bil | la | el | las | los | un | una | muy | m\xe1s | no | para | importante | fundamental
      | errat[ao] | sbagliat[ao] | corrett[ao] | vuot[ao] | troppo | debole | molto | n\xe3o | sim |
      muito | fraca | onjuist | verplicht | fout | leeg | niet | te | een | het | de | den | det | et
      | en | som | fel | felaktigt | obligatoriskt | saknas | feil | forkert | podstawa | wymagan\w+ |
      nieprawid\w+ | b\w+dne | nie
      | \u043d\u0435
      | \u043d\u0435\u0432\u0435\u0440\w+
      | \u043d\u0435\u043f\u0440\u0430\w+
      | \u0432\u0435\u0440\u0435\u043d
      | \u043e\u0431\u044f\u0437\w+
      | \u0442\u0440\u0435\u0431\w+
      | \u043d\u0443\u0436\w+
      | \u043f\u0443\u0441\u0442\w*
      | \u0438\u0441\u0442[\u0435\u0451]\u043a\w*
      | \u0438\u0437\u043c\u0435\u043d\w+
      | \u0441\u0431\u0440\u043e\w+
      | \u0437\u0430\u0431\u044b\w+
      | \u0441\u043b\u0430\u0431\w+
      | \u0443\u0441\u0442\w+)"""
)

# What is said of a password behind a colon: `password: field required`, `password: str`.
_STATE: Final = re.compile(
    r"(?i)(?:(?:required|missing|invalid|optional|expired|unset|empty|str|string|bytes|int|set|unknown|hidden"
    r"|enabled|disabled|wrong|incorrect|passed|failed|erforderlich|ung\xfcltig|fehlt|falsch|obligatoire|requise?"
    r"|manquante?|invalide|obligatori[ao]|requerid[ao]|inv\xe1lid[ao]|obrigat\xf3ri[ao]|incorret[ao]"
    r"|verplicht|onjuist|obbligatori[ao])(?:[\s,;.)\]=]|$)|optional\["
    r"|(?:field|must|should|cannot|not|is) )"
)

# What stands in a table of fields instead of a value: types, and what people call them.
_KIND: Final = re.compile(
    r"(?i)(?:var)?char\b.*|text|(?:big|small)?int(?:eger)?\b.*|number|bool(?:ean)?|uuid|json|bytea|blob|any"
    r"|object"
    r"|array|list|dict|secretstr|password|token|email|user(?:name)?|name|role|status|date|time|actions?|value"
    r"|description|type|default|notes?|label|field|host|port|show|hide|copy|edit|change|reset|forgot.*|n/?a|-+|\u2013|\u2014|\u2026"
)


def is_said_of(word: str) -> bool:
    """Tell whether a word says something about a password instead of being one."""
    return _WORD.fullmatch(word) is not None


def is_said_abroad(word: str) -> bool:
    """Tell whether a word of another language says something about a password instead of being one."""
    return is_said_of(word) or _FOREIGN_WORD.fullmatch(word) is not None


def is_state(text: str, start: int = 0) -> bool:
    """Tell whether a text says in what state a password is, from `start` on."""
    return _STATE.match(text, start) is not None


def is_description(text: str) -> bool:
    """Tell whether a text alone in a cell or on a line describes a password instead of being one."""
    words = text.split()
    return (
        is_state(text)
        or _KIND.fullmatch(text) is not None
        or len(words) > 5
        or any(is_said_of(word.strip(".,:;!?()'\"")) for word in words)
    )
