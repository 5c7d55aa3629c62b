"""SQL without literals, Redis commands without arguments."""

from __future__ import annotations

import timeit
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_telemetry.redaction import redis, sql
from etl_telemetry.redaction.statements import LIMIT, _clean
from support.hostile import HOSTILE, anything

STATEMENTS = {
    "string": ("SELECT * FROM t WHERE mail = 'ann@example.com'", "SELECT * FROM t WHERE mail = ?"),
    "doubled quotes": ("SELECT 'O''Neil', b", "SELECT ?, b"),
    "empty string": ("SELECT '' , b", "SELECT ? , b"),
    "escape string": (r"SELECT E'a\'secret', b", "SELECT ?, b"),
    "escape string with doubled quotes": ("SELECT e'a''secret', b", "SELECT ?, b"),
    "national, bit and hex strings": ("SELECT N'a', B'01', x'ff', U&'b'", "SELECT ?, ?, ?, ?"),
    "prefix that is a name": ("SELECT like'a', re'b'", "SELECT like?, re?"),
    "even backslashes": (r"SELECT 'a\\', b", "SELECT ?, b"),
    "backslash inside": (r"SELECT 'C:\new', b", "SELECT ?, b"),
    "backslash before the quote, as PostgreSQL": (r"SELECT 'a\', 'secret'", "SELECT ?"),
    "backslash before the quote, as MySQL": (r"SELECT 'a\'secret', b", "SELECT ?"),
    "dollar quotes": ("SELECT $$secret's$$, $tag$a $$ secret$tag$", "SELECT ?, ?"),
    "dollar inside a name": ("SELECT a$b$c FROM t$1", "SELECT a$b$c FROM t$1"),
    "dollar quotes that touch": ("SELECT $$a$$$$secret$$5", "SELECT ???"),
    "dollar quotes after a parameter": ("SELECT $1$$secret$$", "SELECT ?"),
    "integers and decimals": ("SELECT 1, -2.5, .5, 1e-9, 1_000, 1.", "SELECT ?, -?, ?, ?, ?, ?"),
    "hex, octal and binary": ("SELECT 0xff, 0o17, 0b01", "SELECT ?, ?, ?"),
    "names with digits": ("SELECT t1.c2 FROM t1", "SELECT t1.c2 FROM t1"),
    "number with a unit": ("SELECT 12secret", "SELECT ?"),
    "constants": ("SELECT NULL, true, FALSE", "SELECT NULL, true, FALSE"),
    "quoted names": ('SELECT "a b"."c" FROM `t`', 'SELECT "a b"."c" FROM `t`'),
    "value in double quotes": ('SELECT "a@b.c", "4", ""', 'SELECT "?", "?", "?"'),
    "parameters": (
        "SELECT %s, %(a)s, :a, @a, ?, $1 WHERE a ? b",
        "SELECT %s, %(a)s, :a, @a, ?, $1 WHERE a ? b",
    ),
    "line comment": ("SELECT a -- secret\nFROM t", "SELECT a FROM t"),
    "comment at the end": ("SELECT a -- it's", "SELECT a"),
    "block comment": ("/* secret's */ SELECT/*x*/a", "SELECT a"),
    "nested comment": ("SELECT a /* b /* c */ secret */ FROM t", "SELECT a"),
    "comment inside a string": ("SELECT '-- a', '/*', b", "SELECT ?, ?, b"),
    "white space": ("SELECT\n\t a  ,\r\n b", "SELECT a , b"),
    "list": ("SELECT a WHERE b IN (1, 'x', NULL, -3)", "SELECT a WHERE b IN (?)"),
    "list of parameters": ("SELECT a WHERE b in (%s,%s, %s)", "SELECT a WHERE b in (?)"),
    "list with casts": (
        "WHERE b IN ('1'::date, '2'::timestamp with time zone) AND c",
        "WHERE b IN (?) AND c",
    ),
    "list of rows": ("WHERE (a, b) IN ((1, 2), (3, 4))", "WHERE (a, b) IN ((?, ?), ...)"),
    "sub-select": ("WHERE a IN (SELECT b FROM t)", "WHERE a IN (SELECT b FROM t)"),
    "array": ("SELECT ARRAY['a', 'b'], c[1]", "SELECT ARRAY[?], c[?]"),
    "rows": (
        "INSERT INTO t (a) VALUES (1, 'x'), (2, 'y'),(3, f('z', g(1))) RETURNING a",
        "INSERT INTO t (a) VALUES (?, ?), ... RETURNING a",
    ),
    "one row": ("INSERT INTO t VALUES ('a', now())", "INSERT INTO t VALUES (?, now())"),
    "several statements": ("SELECT 1; SELECT 'a'", "SELECT ?; SELECT ?"),
    "unclosed string": ("SELECT a, 'secret FROM t", "SELECT a, ?"),
    "unclosed escape string": ("SELECT a, E'secret\\", "SELECT a, ?"),
    "unclosed dollar quotes": ("SELECT a, $x$secret$y$", "SELECT a, ?"),
    "unclosed name": ('SELECT a, "secret', "SELECT a, ?"),
    "unclosed comment": ("SELECT a /* secret", "SELECT a"),
    "already redacted": ("SELECT ? WHERE a IN (?)", "SELECT ? WHERE a IN (?)"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("statement", "expected"), STATEMENTS.values(), ids=STATEMENTS)
def test_sql(statement: str, expected: str) -> None:
    """Literals become `?`; what is no literal stays, and what is doubtful goes."""
    assert sql(statement) == expected
    assert sql(statement.encode()) == expected


def test_sql_where_double_quotes_hold_strings() -> None:
    """MySQL and JSON: what is in double quotes is a value, what is in backticks a name."""
    assert sql('SELECT `a` FROM t WHERE b = "Ann"', quoted_names=False) == (
        "SELECT `a` FROM t WHERE b = ?"
    )
    assert sql('{"find": "users", "age": 42}', quoted_names=False) == "{?: ?, ?: ?}"


def test_sql_of_mogrified_rows_is_short() -> None:
    """The bytes that psycopg2's execute_values sends, with all rows in them (trap 19)."""
    rows = ",".join(f"({n}, 'passenger{n}', '2013-01-01'::date)" for n in range(1_000))
    statement = b"INSERT INTO flights (id, name, day) VALUES " + rows.encode()
    assert sql(statement[:16_000].rpartition(b",(")[0]) == (
        "INSERT INTO flights (id, name, day) VALUES (?, ?, ?::date), ..."
    )
    whole = sql(statement)
    assert whole.startswith("INSERT INTO flights (id, name, day) VALUES (?, ?, ?::date), ...")
    assert "passenger" not in whole
    assert len(whole) < 120


def test_sql_is_bounded() -> None:
    """A long statement is cut, says so, and stays cut."""
    cut = sql("SELECT " + ", ".join(f"column_{n}" for n in range(3_000)))
    assert len(cut) <= LIMIT
    assert cut.endswith(" ...")
    assert sql(cut) == cut
    inside_a_name = sql(f'SELECT a, "{"b" * 40_000}')
    assert inside_a_name == "SELECT a, ? ..."


# A statement is pieces; each piece may hide a secret, in every way in which one can be written.
SECRET = "zqSECRETqz"
_content = st.text(alphabet="ab1 '\"`$\\-/*;(),?\n", max_size=8).map(
    lambda t: t[: len(t) // 2] + SECRET + t[len(t) // 2 :]
)
_literals = st.one_of(
    _content.map(lambda c: "'" + c.replace("'", "''") + "'"),
    _content.map(lambda c: "'" + c.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    _content.map(lambda c: "E'" + c.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    _content.map(lambda c: "N'" + c.replace("'", "''") + "'"),
    _content.map(lambda c: "$tag$" + c + "$tag$"),
    _content.filter(lambda c: "$" not in c).map(lambda c: "$$" + c + "$$"),
    _content.filter(lambda c: "\n" not in c).map(lambda c: "--" + c + "\n"),
    _content.filter(lambda c: "*" not in c).map(lambda c: "/*" + c + "*/"),
    st.sampled_from(["1", "0x", "3.", "1e", ".7"]).map(lambda n: n + SECRET),
)
_plain = st.sampled_from(
    ["SELECT", "a", "t1", '"Name"', "`n`", "%s", "$1", "?", "NULL", "::date", "=", "(", ")", ",",
     "IN (", "VALUES (", "), (", "<", "->>", "@>", "#>", "- ", "+", "||", "like", "e", "x", "."]
)  # fmt: skip
_statements = st.lists(
    st.tuples(st.one_of(_literals, _plain), st.sampled_from([" ", "\n", "", "  "])), max_size=12
)


@given(_statements)
@settings(max_examples=400)
def test_no_literal_survives(pieces: list[tuple[str, str]]) -> None:
    """No value of a statement comes out, in whatever way it was written and wherever it stood."""
    # Two words that touch would be another word, two quotes another literal.
    joined = "".join(
        piece + (between or (" " if piece[-1].isalnum() or piece[-1] in "$_'" else ""))
        for piece, between in pieces
    )
    assert SECRET not in sql(joined)
    assert SECRET not in sql(joined.encode())
    assert SECRET not in sql(joined, quoted_names=False)


_noise = st.text(alphabet="'\"`$\\-/*0a1?(),. eE\n:;xNVALUESIN[]ARRY%s+é", max_size=120)


@given(st.one_of(_noise, st.text(), st.binary().map(lambda b: b.decode("latin-1"))))
@settings(max_examples=400)
def test_sql_is_idempotent_and_bounded(text: str) -> None:
    """What is redacted stays as it is."""
    once = sql(text)
    assert sql(once) == once
    assert len(once) <= LIMIT


@given(_noise.map(lambda t: t * 200))
@settings(max_examples=40, deadline=None)
def test_sql_of_long_noise_is_idempotent_and_bounded(text: str) -> None:
    """So it is where the text is cut, wherever the cut falls."""
    once = sql(text)
    assert sql(once) == once
    assert len(once) <= LIMIT


@given(anything())
def test_sql_never_raises(value: object) -> None:
    """Whatever an instrumentor hands over."""
    assert isinstance(sql(value), str)
    assert isinstance(redis(value), str)


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_sql_takes_hostile_values(index: int) -> None:
    """Each known nuisance, not left to chance."""
    assert isinstance(sql(HOSTILE[index]), str)


@pytest.mark.parametrize(
    "pattern",
    ["'", "''", "'\\", "$a$", "$$", "/*", "/* */", "--\n", "VALUES (", "VALUES (a), ", "IN (?, ",
     "((((", '"', "1e", "E'\\'", "a", "?, ", "::date, ", "IN (?::a b c, "],
)  # fmt: skip
def test_sql_takes_linear_time(pattern: str) -> None:
    """Four times the text takes some four times as long (and not sixteen), whatever is in it."""

    def fastest(size: int) -> float:
        text = "SELECT " + pattern * (size // len(pattern))
        return min(
            timeit.repeat(
                lambda: _clean(text, quoted_names=True), number=1, repeat=7, timer=process_time
            )
        )

    assert fastest(64_000) < 9 * fastest(16_000) + 0.005


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("SET ? ?", "SET ? ?"),
        ("SET session secret", "SET ? ?"),
        ("get secret", "get ?"),
        ("CONFIG GET dir", "CONFIG GET ?"),
        ("CLIENT SETINFO LIB-NAME x", "CLIENT SETINFO ? ?"),
        ("FT.SEARCH idx @name:Ann", "FT.SEARCH ? ?"),
        ("SET ? ?\nEXPIRE ? ?", "SET ? ?\nEXPIRE ? ?"),
        ("'secret'", "?"),
        ("", ""),
    ],
)
def test_redis(command: str, expected: str) -> None:
    """Commands stay, arguments do not."""
    assert redis(command) == expected
    assert redis(expected) == expected
