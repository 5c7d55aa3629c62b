"""Child or link: which tasks get a trace of their own, linked to their publish.

| publish                                                | the task is                      |
| ------------------------------------------------------ | -------------------------------- |
| inside a run                                           | a child, always                  |
| a retry                                                | a sibling of the delivery before |
| by beat                                                | linked                           |
| with an ETA further than `task_link_eta` away          | linked                           |
| past the first `task_link_fan_out` of one span         | linked                           |
| all else, and always the header of a chord             | a child                          |

The publisher decides, since only it sees the whole, and writes it into the message. Baggage
and the sampling decision are the publisher's in both cases.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanContext

from etl_telemetry.catalogue import LinkReason
from etl_telemetry.config import Config

_REMEMBERED = 1_024
_BEAT = "celery_beat_task"
"""Header that Celery's beat writes."""


class Policy:
    """Decide for each publish of this process."""

    def __init__(self, config: Config) -> None:
        self._fan_out = config.task_link_fan_out
        self._eta_ns = int(config.task_link_eta * 1e9)
        # The spans that published last. Approximate under threads: two may count as one.
        self._published: OrderedDict[int, int] = OrderedDict()

    def reason(
        self,
        headers: Mapping[str, Any],
        *,
        wait_ns: int,
        span: SpanContext,
        keep: bool,
    ) -> LinkReason | None:
        """Return why a message of a publish outside of any run is linked; None: it is a child.

        ``span`` is what publishes, ``wait_ns`` how far away the ETA is; ``keep``: never for
        its number.
        """
        if headers.get(_BEAT) is True:
            return LinkReason.BEAT
        if wait_ns > self._eta_ns:
            return LinkReason.ETA
        if span.is_valid and self._count(span.span_id) > self._fan_out and not keep:
            return LinkReason.FAN_OUT
        return None

    def _count(self, span_id: int) -> int:
        number = self._published.pop(span_id, 0) + 1
        self._published[span_id] = number
        if len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)
        return number
