"""URLs without credentials and query values."""

from __future__ import annotations

import timeit
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_telemetry.redaction import Policy, query, url, urls
from support.hostile import HOSTILE, anything

HIDDEN = "REDACTED:REDACTED@"
URLS = {
    "plain": ("https://a.example/b/c", "https://a.example/b/c"),
    "query": ("https://a.example/?q=ann&n=1", "https://a.example/?q=REDACTED&n=REDACTED"),
    "query without values": ("https://a.example/?secret", "https://a.example/?REDACTED"),
    "query with semicolons": ("/a?x=1;y=2", "/a?x=REDACTED&y=REDACTED"),
    "empty query": ("/a?", "/a?"),
    "question mark in a value": ("/a?x=1?y=2", "/a?x=REDACTED"),
    "fragment": ("https://a.example/b#access_token=x", "https://a.example/b"),
    "fragment before a query": ("https://a.example/b#c?d=e", "https://a.example/b"),
    "user and password": ("https://ann:pw@a.example:8443/b", f"https://{HIDDEN}a.example:8443/b"),
    "user only": ("https://ann@a.example", f"https://{HIDDEN}a.example"),
    "password with @": ("https://u:p@w@a.example/", f"https://{HIDDEN}a.example/"),
    "password with a slash": ("postgres://u:p/w@db:5432/x", f"postgres://{HIDDEN}db:5432/x"),
    "password with a question mark": ("redis://u:p?w@db/0", "redis://REDACTED"),
    "password that begins as a port": ("amqp://u:1/w@mq/x", f"amqp://{HIDDEN}mq/x"),
    "password without a host": ("redis://u:pw", "redis://REDACTED"),
    "@ in the path": ("https://a.example/@ann", "https://a.example/@ann"),
    "IPv6": ("http://u:p@[::1]:80/a", f"http://{HIDDEN}[::1]:80/a"),
    "several hosts": ("postgresql://u:p@a:1,b:2/x", f"postgresql://{HIDDEN}a:1,b:2/x"),
    "socket in the host": ("postgresql://%2Fvar%2Frun/x", "postgresql://%2Fvar%2Frun/x"),
    "no host": ("sqlite:///a/b.db", "sqlite:///a/b.db"),
    "double scheme": ("jdbc:postgresql://u:p@db/x", f"jdbc:postgresql://{HIDDEN}db/x"),
    "without scheme": ("//u:p@a.example/b?c=d", f"//{HIDDEN}a.example/b?c=REDACTED"),
    "without slashes": ("ann:pw@db:5432/x", f"{HIDDEN}db:5432/x"),
    "mail": ("mailto:ann@a.example", f"{HIDDEN}a.example"),
    "data": ("data:text/plain;base64,c2VjcmV0", "data:REDACTED"),
    "path parameters": ("/a;jsessionid=x/b;v=1", "/a;jsessionid=REDACTED/b;v=REDACTED"),
    "relative": ("a/b", "a/b"),
    "no URL": ("not a URL", "not a URL"),
    "asterisk": ("*", "*"),
    "nothing": ("", ""),
    "already redacted": (f"https://{HIDDEN}a/?b=REDACTED", f"https://{HIDDEN}a/?b=REDACTED"),
    "broken IPv6": ("http://[::1/a?b=c", "http://REDACTED/a?b=REDACTED"),
}


@pytest.mark.parametrize(("given_url", "expected"), URLS.values(), ids=URLS)
def test_url(given_url: str, expected: str) -> None:
    """Scheme, host, path and names of parameters stay; the rest goes."""
    assert url(given_url) == expected
    assert url(given_url.encode()) == expected


def test_url_keeps_allowed_parameters() -> None:
    """The allow-list opens one parameter and no other."""
    policy = Policy(allow=("url.query.page",))
    assert url("/a?page=2&q=ann", policy=policy) == "/a?page=2&q=REDACTED"
    assert query("page=2&q=ann", policy=policy) == "page=2&q=REDACTED"
    assert urls("GET /a?page=2&q=ann", policy=policy) == "GET /a?page=2&q=REDACTED"


def test_url_is_bounded() -> None:
    """Long hosts, paths, names and many parameters are cut or hidden."""
    assert url("http://" + "a" * 5_000 + "/b") == "http://REDACTED/b"
    assert len(url("http://a/" + "b" * 20_000)) < 1_100
    assert url("/?" + "a" * 100 + "=1") == "/?REDACTED=REDACTED"
    assert len(url("/?" + "&".join(f"a{n}=1" for n in range(5_000)))) < 1_100


def test_query() -> None:
    """A query string alone, as `url.query` has it."""
    assert query("a=1&b=2&&c") == "a=REDACTED&b=REDACTED&&REDACTED"


TEXTS = {
    "requests": (
        "Pool(host='a', port=80): Max retries exceeded with url: /b?c=d (Caused by y)",
        "Pool(host='a', port=80): Max retries exceeded with url: /b?c=REDACTED (Caused by y)",
    ),
    "in quotes": ("at 'http://u:p@a/?b=c' and", f"at 'http://{HIDDEN}a/?b=REDACTED' and"),
    "several": ("http://a/?b=c http://d/?e=f", "http://a/?b=REDACTED http://d/?e=REDACTED"),
    "log line": ('"GET /a?b=c HTTP/1.1" 200', '"GET /a?b=REDACTED HTTP/1.1" 200'),
    "question": ("and/or? maybe 2/3?", "and/or? maybe 2/3?"),
    "plain": ("no address", "no address"),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_urls_in_text(text: str, expected: str) -> None:
    """Addresses are found in free text, which otherwise stays."""
    assert urls(text) == expected


_words = st.text(alphabet="ab:/?#@;&=%.[]-_~1\\ ", max_size=30)


@given(st.one_of(_words, st.builds("{}://{}".format, st.just("http"), _words), st.text()))
@example("http://a:b/c@d:e/f@g")
@example("//:@")
def test_url_is_idempotent_and_bounded(text: str) -> None:
    """What is redacted stays as it is."""
    once = url(text)
    assert url(once) == once
    assert len(once) < 3_000
    assert urls(urls(text)) == urls(text)


_safe = st.text(alphabet="abcXYZ019-_.~%", min_size=1, max_size=12)
SECRET = "zqSECRETqz"
_secret = st.builds("{}{}{}".format, st.text("ab:!$'()*+,=@/", max_size=5), st.just(SECRET), _safe)


@given(scheme=st.sampled_from(["http", "postgresql", "amqp"]), host=_safe, path=_safe,
       user=_safe, password=_secret, value=_secret, fragment=_secret)  # fmt: skip
def test_no_secret_of_a_url_survives(
    *, scheme: str, host: str, path: str, user: str, password: str, value: str, fragment: str
) -> None:
    """Password, query value and fragment never come out, however they are written."""
    whole = f"{scheme}://{user}:{password}@{host}/{path}?a={value}&b#{fragment}"
    assert SECRET not in url(whole)
    assert SECRET not in urls(f"no route to {whole} today") or "'" in password + value + fragment


@given(anything())
def test_url_never_raises(value: object) -> None:
    """Whatever an instrumentor hands over."""
    assert isinstance(url(value), str)
    assert isinstance(query(value), str)


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_url_takes_hostile_values(index: int) -> None:
    """Each known nuisance, not left to chance."""
    assert isinstance(url(HOSTILE[index]), str)


@pytest.mark.parametrize("pattern", ["/", "?", "a", "://", "/a", "@", "/?a ", ";", "a=b&", ":"])
def test_urls_takes_linear_time(pattern: str) -> None:
    """Four times the text takes some four times as long (and not sixteen), whatever is in it."""

    def fastest(size: int) -> float:
        text = "http:" + pattern * (size // len(pattern)) + "?"
        return min(timeit.repeat(lambda: urls(text), number=1, repeat=7, timer=process_time))

    assert fastest(64_000) < 9 * fastest(16_000) + 0.005
