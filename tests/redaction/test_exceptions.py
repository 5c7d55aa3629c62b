"""Exception texts without the data that they quote."""

from __future__ import annotations

import timeit
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.redaction import Policy, exception_text
from support.hostile import HOSTILE, anything

TEXTS = {
    "unique violation": (
        'duplicate key "users_mail"\nDETAIL:  Key (mail)=(ann@example.com) already exists.\n',
        'duplicate key "users_mail"\nDETAIL: ?',
    ),
    "detail with line feeds": (
        "null value\nDETAIL:  Failing row contains (1, ann\nLane 3\n\n4).\nHINT:  Give it.\n",
        "null value\nDETAIL: ?\nHINT:  Give it.\n",
    ),
    "detail in French": ("erreur\nDÉTAIL : La clé « (a)=(b) » existe déjà.", "erreur\nDÉTAIL: ?"),
    "detail in Russian": ("ошибка\nПОДРОБНОСТИ:  Ключ (a)=(b)", "ошибка\nПОДРОБНОСТИ: ?"),  # noqa: RUF001
    "detail without its header": ("Key (a, b)=(ann, 1) exists", "Key (a, b)=(?)"),
    "row without its header": ("Failing row contains (1, ann).", "Failing row contains (?)"),
    "COPY": (
        'extra data after last expected column\nCONTEXT:  COPY t, line 3, column id: "ann"\n',
        "extra data after last expected column\nCONTEXT: COPY t, line 3, column id?",
    ),
    "context of a function": (
        'bad\nCONTEXT:  SQL statement "INSERT INTO t VALUES (1)"\nPL/pgSQL function f() line 3',
        "bad\nCONTEXT: ?",
    ),
    "statement excerpt": (
        "syntax error at or near \"x\"\nLINE 1: SELECT 'ann' x\n                     ^\n",
        'syntax error at or near "x"\nLINE 1: ?\n',
    ),
    "literal near a syntax error": (
        "syntax error at or near \"'ann@b.c'\"\nLINE 1: SELECT a 'ann@b.c'\n",
        'syntax error at or near "?"\nLINE 1: ?\n',
    ),
    "out of range": (
        'value "99999999999" is out of range for type integer',
        'value "?" is out of range for type integer',
    ),
    "date out of range": (
        'date/time field value out of range: "2013-13-45"',
        'date/time field value out of range: "?"',
    ),
    "enum": (
        'invalid input value for enum mood: "ann"', 'invalid input value for enum mood: "?"'
    ),
    "names stay": (
        'relation "flights" does not exist', 'relation "flights" does not exist'
    ),
    "MySQL": (
        "(1062, \"Duplicate entry 'ann's@b.c' for key 'users.mail'\")",
        "(1062, \"Duplicate entry '?' for key 'users.mail'\")",
    ),
    "SQLite": ("UNIQUE constraint failed: user.mail", "UNIQUE constraint failed: user.mail"),
    "SQLAlchemy after a detail": (
        "Key DETAIL:  Key (a)=(b)\n\n[SQL: INSERT INTO t VALUES ('ann')]\n[parameters: ('ann',)]",
        "Key DETAIL: ?\n[SQL: INSERT INTO t VALUES (?)]\n[parameters: ?]",
    ),
    "SQLAlchemy": (
        "failed\n[SQL: SELECT %(a)s -- 'x']\n[parameters: {'a': 'ann]\\n'}]\n(Background on it)",
        "failed\n[SQL: SELECT %(a)s]\n[parameters: ?]\n(Background on it)",
    ),
    "statement with a literal": (
        "failed [SQL: SELECT 'ann' FROM t]", "failed [SQL: SELECT ? FROM t]"
    ),
    "connection string": (
        "could not connect: host=db password='a b' user=x",
        "could not connect: host=db password=REDACTED user=x",
    ),
    "header": (
        "sent {'Authorization': 'Bearer abc', 'X-Api-Key': 'def'}",
        "sent {'Authorization': REDACTED, 'X-Api-Key': REDACTED}",
    ),
    "bearer": ("Authorization: Bearer abc.def ok", "Authorization: REDACTED ok"),
    "url": (
        "404 for url: https://u:p@a.example/b?token=c",
        "404 for url: https://REDACTED:REDACTED@a.example/b?token=REDACTED",
    ),
    "ordinary": ("invalid literal for int(): 'x'", "invalid literal for int(): 'x'"),
    "key error": ("'dep_time'", "'dep_time'"),
    "nothing": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_exception_text(text: str, expected: str) -> None:
    """What a database or a client quotes goes, the names of things stay."""
    assert exception_text(text) == expected
    assert exception_text(expected) == expected
    assert exception_text(text.encode()) == expected


def test_stack_trace_keeps_its_frames() -> None:
    """The data ends where the traceback goes on."""
    trace = (
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n'
        '    cursor.execute("SELECT %s", (password,))\n'
        "psycopg2.errors.UniqueViolation: duplicate key\n"
        "DETAIL:  Key (mail)=(ann\n@b.c) exists.\n"
        "\n"
        "The above exception was the direct cause of the following exception:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "b.py", line 2, in g\n'
        "django.db.utils.IntegrityError: duplicate key\n"
        "DETAIL:  Key (mail)=(ann\n@b.c) exists.\n"
    )
    assert exception_text(trace) == (
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n'
        '    cursor.execute("SELECT %s", (password,))\n'
        "psycopg2.errors.UniqueViolation: duplicate key\n"
        "DETAIL: ?\n"
        "The above exception was the direct cause of the following exception:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "b.py", line 2, in g\n'
        "django.db.utils.IntegrityError: duplicate key\n"
        "DETAIL: ?"
    )


def test_long_text_loses_its_middle() -> None:
    """A stack trace begins with where and ends with what."""
    text = exception_text("begin " + "x" * 10_000 + " end", limit=20)
    assert text == "begin xxx…xxxxxx end"
    assert len(exception_text("x" * 100_000)) == 2_048


def test_allowed_message_stays() -> None:
    """The allow-list opens the text, not its length."""
    policy = Policy(allow=("exception.message",))
    assert exception_text("DETAIL: a", policy=policy) == "DETAIL: a"
    assert exception_text("a" * 100, policy=policy, limit=3) == "a…a"


SECRET = "zqSECRETqz"
_value = st.builds("{}{}{}".format, st.text("ab '\"(),=;:\n", max_size=6), st.just(SECRET),
                   st.text("ab '\"(),=;:\n", max_size=6))  # fmt: skip


@given(before=st.text("abc:'\" \n", max_size=10), value=_value, after=st.sampled_from(
    ["", "\nHINT:  Try.", '\n  File "a.py", line 1, in f\n', "\n[SQL: SELECT 1]"]))  # fmt: skip
def test_no_quoted_row_survives(before: str, value: str, after: str) -> None:
    """Whatever a row holds, line feeds and quotes too, it does not come out."""
    for quoted in (
        f"DETAIL:  Key (mail)=({value}) already exists.",
        f"DETAIL:  Failing row contains ({value}).",
        f"Key (mail)=({value}) already exists.",
        f'invalid input syntax for type integer: "{value}"',
        f"[parameters: ({value!r}, 1)]",
        f"password={value.strip()!r}" if "'" not in value else "",
    ):
        assert SECRET not in exception_text(f"{before}\n{quoted}{after}")


@given(st.one_of(st.text(max_size=200), st.text("DETAIL: ()=\n'\"[]SQLpasword\\^1", max_size=200)))
def test_exception_text_is_idempotent(text: str) -> None:
    """What is redacted stays as it is: our own texts pass the gate a second time."""
    once = exception_text(text)
    assert exception_text(once) == once


@given(anything())
def test_exception_text_never_raises(value: object) -> None:
    """Whatever an exception prints."""
    assert isinstance(exception_text(value), str)


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_exception_text_takes_hostile_values(index: int) -> None:
    """Each known nuisance, not left to chance."""
    assert isinstance(exception_text(HOSTILE[index]), str)


@pytest.mark.parametrize(
    "pattern",
    ["DETAIL: ", "DETAIL: a\n", "(", "(a)=(", "\n", "[SQL: ", "[parameters:", "password", "a" * 8,
     'value "', "invalid input ", "CONTEXT: COPY a", "Duplicate entry '", "LINE 1:", "password='",
     "Incorrect a value: '", "token ", "\n ", "\n |", "Authorization: Bearer "],
)  # fmt: skip
def test_exception_text_takes_linear_time(pattern: str) -> None:
    """Four times the text takes some four times as long (and not sixteen), whatever is in it."""

    def fastest(size: int) -> float:
        text = pattern * (size // len(pattern))
        return min(
            timeit.repeat(lambda: exception_text(text), number=1, repeat=5, timer=process_time)
        )

    assert fastest(64_000) < 9 * fastest(16_000) + 0.005
