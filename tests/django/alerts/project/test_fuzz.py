"""`POST /api/alerts/webhook`: whatever is sent, never a 500, never a duplicate."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.django.models import Alert
from support.alert_senders import SENDERS
from support.alerts import alert, payload, resolved
from support.patience import PATIENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from([*alert(), *payload()])
TEXTS = st.dictionaries(st.text(), st.text(), max_size=3)
ALERTS = st.builds(
    lambda make, number, labels, annotations, broken: {
        **make(number, labels=labels, annotations=annotations), **broken,
    },
    st.sampled_from([alert, resolved]),
    st.integers(0, 3),
    TEXTS,
    TEXTS,
    st.just({}) | st.dictionaries(KEYS, JSON, max_size=1),
)  # fmt: skip
BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda alerts, broken: json.dumps({**payload(*alerts), **broken}).encode(),
        st.lists(ALERTS, max_size=4),
        st.just({}) | st.dictionaries(KEYS, JSON, max_size=1),
    )
)


@PATIENT
@given(bodies=st.lists(BODIES, max_size=3), transport=st.sampled_from([*SENDERS]))
def test_never_a_500_and_never_a_duplicate(bodies: list[bytes], transport: str) -> None:
    """Whatever is sent, twice: taken or refused alike, and the second time brings no news."""
    Alert.objects.all().delete()
    for body in bodies:
        first = SENDERS[transport](body)
        assert first[0] in {200, 400}, first
        stored = Alert.objects.count()
        again = SENDERS[transport](body)
        assert again[0] == first[0]
        assert again[1].get("new", 0) == 0
        assert Alert.objects.count() == stored
    keys = list(Alert.objects.values_list("fingerprint", "starts_at", "status"))
    assert len(keys) == len(set(keys))
