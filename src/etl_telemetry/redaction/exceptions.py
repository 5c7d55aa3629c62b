"""Texts of exceptions without the rows, statements and credentials that they quote."""

from __future__ import annotations

import re

from etl_telemetry.redaction.addresses import urls
from etl_telemetry.redaction.given import as_text
from etl_telemetry.redaction.policy import MASK, NOTHING_ALLOWED, Policy
from etl_telemetry.redaction.statements import sql

LIMIT = 2_048
"""Characters of an exception's message, by default."""
_MAX_INPUT = 65_536

# Where the quoted data of a section ends: at the next section, or where a traceback goes on.
_SECTION = (
    r"[ |]*(?:(?:HINT|CONTEXT|DETAIL|QUERY|STATEMENT|LOCATION|LINE\ \d+):"
    r"|Traceback\ \(most|File\ \"|The\ above\ exception|During\ handling"
    r"|\[SQL:|\[parameters:|\(Background\ on)"
)
# Data may hold line feeds: everything up to there goes, it fails closed.
_REST = rf"[^\n]*+(?>(?:\n(?!{_SECTION})[^\n]*+)*)"

# The header of the section that holds data, as servers in other languages write it (lc_messages).
_DETAIL = "DETAIL|DÉTAIL|DETALLE|DETTAGLI|DETALHE|DETALJ|SZCZEGÓŁY|AYRINTI|ПОДРОБНОСТИ|詳細|描述"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # PostgreSQL: `DETAIL:  Key (email)=(ann@example.com) already exists.`
    (re.compile(rf"\b({_DETAIL})\s?[::]{_REST}"), r"\1: ?"),
    (re.compile(rf"\b(CONTEXT:)\s+(COPY \w+, line \d+(?:, column \w+)?)?{_REST}"), r"\1 \2?"),
    (re.compile(rf"\b(QUERY|STATEMENT):{_REST}"), r"\1: ?"),
    (re.compile(r"\b(LINE \d+:)[^\n]*+(?:\n *\^)?"), r"\1 ?"),
    (re.compile(rf"(\([\w\", .]+\))=\({_REST}"), r"\1=(?)"),
    (re.compile(rf"(Failing row contains ){_REST}"), r"\1(?)"),
    # `invalid input syntax for type integer: "..."`, `value "..." is out of range`.
    (
        re.compile(
            r"((?:invalid input|invalid value|malformed|out of range)[^\n\":]{0,200}"
            rf"(?:\"[^\"\n]{{0,100}}\"[^\n\":]{{0,50}})?: )\"{_REST}"
        ),
        r'\1"?"',
    ),
    # `syntax error at or near "'ann@example.com'"`: a word may stay, a literal may not.
    (re.compile(r"\b(at or near )\"(?![^\W\d]\w*\")[^\n]*+"), r'\1"?"'),
    (re.compile(r"\b(value )\"[^\"]*+\"?"), r'\1"?"'),
    # MySQL: `Duplicate entry 'ann@example.com' for key 'users.email'`.
    (re.compile(r"(Duplicate entry )'[^\n]*?(?:'(?= for key)|$)", re.MULTILINE), r"\1'?'"),
    (re.compile(r"(Incorrect \w+ value: )'[^\n]*?(?:'(?= for column)|$)", re.MULTILINE), r"\1'?'"),
    # SQLAlchemy: `[parameters: ('ann@example.com', 1)]`.
    (re.compile(rf"\[parameters:{_REST}"), "[parameters: ?]"),
    # `password=...`, `Authorization: Bearer ...`, `"token": "..."`.
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization|cookie|credentials?)"
            r"\w{0,20}[\"']?\s{0,3}[=:]\s{0,3})"
            rf"(?:{MASK}\b|\"(?>(?:[^\"\\]++|\\.)*)\"?|'(?>(?:[^'\\]++|\\.)*)'?"
            r"|(?:Bearer|Basic|Digest|Token)\s+\S++|\S++)"
        ),
        rf"\1{MASK}",
    ),
)
_STATEMENT = re.compile(rf"\[SQL: ?({_REST})")


def exception_text(text: object, *, limit: int = LIMIT, policy: Policy | None = None) -> str:
    r"""Return an exception's message or stack trace without the data that it quotes.

    Goes: PostgreSQL's DETAIL, CONTEXT and values, MySQL's entries, SQLAlchemy's
    parameters and literals, credentials, query values of URLs. Stays: the rest,
    so the names of tables, columns and constraints. At most `limit` characters:
    of a longer text the middle goes, since a stack trace ends with its message.
    Never raises. An allowed `exception.message` stays as it is, within `limit`.

    >>> exception_text('duplicate key "users_mail"\nDETAIL:  Key (mail)=(a@b.c) already exists.')
    'duplicate key "users_mail"\nDETAIL: ?'
    """
    policy = policy or NOTHING_ALLOWED
    cleaned = as_text(text, limit=_MAX_INPUT)
    if not policy.allows("exception.message"):
        for pattern, replacement in _RULES:
            cleaned = pattern.sub(replacement, cleaned)
        cleaned = urls(_STATEMENT.sub(_statement, cleaned), policy=policy)
    return cleaned if len(cleaned) <= limit else _without_middle(cleaned, limit)


def _statement(match: re.Match[str]) -> str:
    return f"[SQL: {sql(match[1].rstrip().removesuffix(']'))}]"


def _without_middle(text: str, limit: int) -> str:
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
