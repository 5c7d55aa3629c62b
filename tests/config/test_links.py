"""Templates of links: what is filled in can change neither where they lead nor what they do."""

from __future__ import annotations

import pytest

from etl_telemetry.config.kinds import WrongValue
from etl_telemetry.config.links import LINKS


def test_links_are_read_from_a_dictionary_and_from_json() -> None:
    """Addresses of other hosts and of one's own, with braces of their own."""
    links = {
        "Trace": "https://traces.example.com:443/trace/{trace_id}?run={run_id}",
        "Charts": "/charts?filter=(name:'{pipeline}')&raw={{x}}",
        "Logs": "http://[::1]:5601/app#/?o={organization}",
    }
    assert LINKS.parse(links) == links
    assert LINKS.parse('{" Trace ": "https://t/{trace_id}"}') == {"Trace": "https://t/{trace_id}"}


@pytest.mark.parametrize(
    ("value", "got", "hint"),
    [
        ("Trace=https://t", "text that is not JSON", None),
        ([1], None, None),
        ({"": "https://t"}, "a name ''", "names have 1 to 40 characters"),
        ({"x" * 41: "https://t"}, f"a name '{'x' * 41}'", "names have 1 to 40 characters"),
        ({"T": 7}, "for 'T' a value of type int", None),
        ({"T": "https://t/{trace}"}, "for 'T' the placeholder 'trace'",
         "did you mean 'trace_id'?"),
        ({"T": "https://t/{}"}, "for 'T' the placeholder ''",
         "known are trace_id, run_id, pipeline, organization"),
        ({"T": "https://t/{pipeline.__class__}"}, "for 'T' the placeholder 'pipeline.__class__'",
         "did you mean 'pipeline'?"),
        ({"T": "https://t/{pipeline!r}"}, "for 'T' a wrong placeholder",
         "write braces of the URL itself as {{ and }}"),
        ({"T": "https://t/{pipeline:>9}"}, "for 'T' a wrong placeholder",
         "write braces of the URL itself as {{ and }}"),
        ({"T": "https://t/{"}, "for 'T' a wrong placeholder",
         "write braces of the URL itself as {{ and }}"),
        *(
            ({"T": url}, "for 'T' no address",
             "write https://host/..., with placeholders behind the host, or /path")
            for url in ("javascript:alert(1)", "ftp://t/", "https://{pipeline}.t/", "//t/",
                        "/\\t/", "t/x", "https:///x", "https://[x/", "{pipeline}")
        ),
    ],
)  # fmt: skip
def test_wrong_links_say_what_is_wrong(value: object, got: str | None, hint: str | None) -> None:
    """Which one, what it has, and the fix."""
    with pytest.raises(WrongValue) as raised:
        LINKS.parse(value)
    assert (raised.value.got, raised.value.hint) == (got, hint)
