"""SQL statements without literals, Redis commands without arguments."""

from __future__ import annotations

import re
from functools import lru_cache

from etl_telemetry.redaction.given import as_text

LIMIT = 2_048
"""Characters of a redacted statement."""
_MAX_INPUT = 16_384
_MAX_CACHED = 4_096
_MORE = " ..."

# One pass, possessive throughout: every character is looked at a bounded number of times, and
# words are taken whole, so that what follows stands at the begin of a token. Whatever is not
# closed ends with the statement: it fails closed. Groups are atomic, `(?>(?:...)*)`: `(?:...)*+`
# matches wrongly before Python 3.11.5 (python/cpython#106052); Debian 12 has 3.11.2.
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]*+
        # PostgreSQL nests comments, others do not: on a nested one the rest goes.
        | /\*(?>(?:[^*/]++|\*(?!/)|/(?!\*))*)(?:\*/|/\*[\s\S]*+|\Z) )
    | (?P<literal>
          [eE]'(?>(?:[^'\\]++|''|\\[\s\S])*)\\?(?:'|\Z)
        # A backslash before the quote: it ends the literal in PostgreSQL and SQLite, and does not
        # in MySQL. The rest goes.
        | (?:[bBxXnN]|[uU]&)?'(?>(?:[^'\\]++|''|\\\\|\\(?!['\\]))*)(?:'|\\'[\s\S]*+|\Z)
        | \$(?P<tag>(?:[^\W\d]\w*+)?)\$[\s\S]*?(?:\$(?P=tag)\$|\Z)
        | \.?\d[\w.$]*+(?:(?<=[eE])[+-]\d[\w.$]*+)? )
    | (?P<word> [^\W\d][\w$]*+ | \$\d++(?![\w$]) )
    | (?P<junk> \$\d[\w$]*+ )
    | (?P<name> "(?>(?:[^"]++|"")*)(?:"|\Z) | `(?>(?:[^`]++|``)*)(?:`|\Z) )
    """,
    re.VERBOSE,
)
# What a quoted name may look like; anything else in double quotes may be a value (MySQL, SQLite).
_NAME = re.compile(r"""(["`])[^\W\d][\w $.:-]{0,127}\1""")

_ITEM = (
    r"[-+]?\ ?(?:\?|%s|%\(\w+\)s|\$\d+|[:@]\w+|NULL|TRUE|FALSE|DEFAULT)"
    r"(?:::\w++(?>(?:\ \w++){0,3})(?:\[\])?)?"
)
_LIST = re.compile(
    rf"(?:(\bIN)\ ?\(\ ?|(\bARRAY)\ ?\[\ ?){_ITEM}(?>(?:\ ?,\ ?{_ITEM})*)\ ?([)\]])",
    re.IGNORECASE | re.VERBOSE,
)
_ROW = r"\((?>(?:[^()]++|\((?>(?:[^()]++|\([^()]*+\))*)\))*)\)"
_ROWS = re.compile(rf"(\bVALUES\ ?|\bIN\ ?\(\ ?)({_ROW})(?>(?:\ ?,\ ?{_ROW})+)", re.IGNORECASE)

# Redis: commands whose second word is a command too.
_CONTAINERS = frozenset(
    ("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY",
     "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO")
)  # fmt: skip
_COMMAND = re.compile(r"[A-Za-z][\w.-]{0,63}")


def sql(statement: object, *, quoted_names: bool = True) -> str:
    """Return a statement with `?` for every literal; never raise, in linear time.

    Names, keywords, NULL, booleans and parameters stay; comments go; lists of
    values and rows after the first are folded; 2,048 characters at most. A
    statement that can be read in two ways, or that is cut off within a literal,
    ends there. `quoted_names=False` is for languages in which double quotes
    hold strings (MySQL, JSON).

    >>> sql("SELECT * FROM t WHERE mail = 'a@b.c' AND n IN (1, 2, 3) -- for Ann")
    'SELECT * FROM t WHERE mail = ? AND n IN (?)'
    >>> sql(b"INSERT INTO t VALUES (1, 'Ann'), (2, 'Bob')")
    'INSERT INTO t VALUES (?, ?), ...'
    """
    text = as_text(statement, limit=_MAX_INPUT + 1)
    # Bytes are mogrified: each has values of its own, and would only push others out.
    if type(statement) is str and len(text) <= _MAX_CACHED:
        return _cached(text, quoted_names)
    return _bounded(text, quoted_names)


def redis(command: object) -> str:
    r"""Return Redis commands, one a line, with `?` for every argument.

    >>> redis("SET session:1 secret\nCONFIG GET dir")
    'SET ? ?\nCONFIG GET ?'
    """
    lines = as_text(command, limit=_MAX_INPUT).split("\n")
    return "\n".join(map(_command, lines))[:LIMIT]


@lru_cache(maxsize=512)
def _cached(statement: str, quoted_names: bool) -> str:  # noqa: FBT001 - the key of the cache
    return _bounded(statement, quoted_names)


def _bounded(text: str, quoted_names: bool) -> str:  # noqa: FBT001 - as above
    more = _MORE if len(text) > _MAX_INPUT else ""
    cleaned = _clean(text[:_MAX_INPUT], quoted_names) + more
    # Cutting can open a quoted name; what remains is cleaned again until it is stable.
    for _ in range(3):
        if len(cleaned) > LIMIT:
            cleaned = cleaned[: LIMIT - len(_MORE)].rstrip() + _MORE
        again = _clean(cleaned, quoted_names)
        if again == cleaned:
            return cleaned
        cleaned = again
    return cleaned if len(cleaned) <= LIMIT else "?"


def _clean(text: str, quoted_names: bool) -> str:  # noqa: FBT001 - as above
    replace = _keeping_names if quoted_names else _hiding_names
    masked = " ".join(_TOKEN.sub(replace, text).split())
    folded = _LIST.sub(_fold, masked)
    return _ROWS.sub(r"\1\2, ...", folded)


def _keeping_names(match: re.Match[str]) -> str:
    token = match[0]
    if match.lastgroup == "name" and token[0] == '"':
        return _name(token)
    return _hiding_names(match)


def _hiding_names(match: re.Match[str]) -> str:
    token, kind = match[0], match.lastgroup
    if kind == "word":
        return token
    if kind == "comment":
        return " "
    return _name(token) if token[0] == "`" else "?"


def _name(token: str) -> str:
    if _NAME.fullmatch(token):
        return token
    closed = len(token) > 1 and token[-1] == token[0]
    return f"{token[0]}?{token[0]}" if closed else "?"


def _fold(match: re.Match[str]) -> str:
    keyword, array, end = match.groups()
    return f"{keyword} (?{end}" if keyword else f"{array}[?{end}"


def _command(line: str) -> str:
    words = line.split()
    if not words or not _COMMAND.fullmatch(words[0]):
        return "?" if words else ""
    container = words[0].upper() in _CONTAINERS
    named = 2 if container and len(words) > 1 and _COMMAND.fullmatch(words[1]) else 1
    return " ".join([*words[:named], *("?" for _ in words[named:])])
