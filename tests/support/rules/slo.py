"""Cases of the alerts on the error budget: the same for each rate of burning."""

from __future__ import annotations

from collections.abc import Iterator

from support.rules.case import LOOK_AT_DAYS, Case, labels, series

BURNS = {
    # name: (minutes of the long window, share of failures that fires, share that does not)
    "RunBurnRateFast": (60, 20, 10),
    "RunBurnRateHigh": (360, 8, 4),
    "RunBurnRateRaised": (1440, 4, 2),
    "RunBurnRateSlow": (4320, 2, 0.5),
}
"""In percent, for a goal of 99 %."""


def _runs(status: str, organization: str = "acme") -> str:
    of = {"organization": organization, "pipeline_name": "daily", "status": status}
    return series("pipeline_executions_total", **of)


def _cases() -> Iterator[Case]:
    for name, (window, burning, calm) in BURNS.items():
        step = 4 if name in LOOK_AT_DAYS else 1
        length = (window + 60) // step
        half, past = length // 2, window // 2 // step
        at = f"{window + 40}m"

        def mix(share: float, length: int = length) -> dict[str, str]:
            failed, good = share, 100 - share
            return {_runs("failed"): f"0+{failed}x{length}", _runs("success"): f"0+{good}x{length}"}

        long = {60: "1h", 360: "6h", 1440: "1d", 4320: "3d"}[window]
        yield Case(name, "fires", f"{burning} % fail", mix(burning), at=at, firing=(labels(),),
                   summary=f"{burning}% of the runs fail, over {long}")  # fmt: skip
        yield Case(name, "quiet", f"{calm} % fail", mix(calm), at=at)
        yield Case(name, "quiet", "all has been well for a while, the long window remembers",
                   {_runs("failed"): f"0+{burning * 2}x{past} {burning * 2 * past}x{length}",
                    _runs("success"): f"0+100x{length * 2}"},
                   at=f"{window}m")  # fmt: skip
        yield Case(name, "missing", "nothing has failed yet",
                   {_runs("success"): f"0+10x{length}"}, at=at)  # fmt: skip
        yield Case(name, "missing", "a handful of runs says nothing",
                   {_runs("failed"): f"0x{window // step - 1} 5x60"}, at=at)  # fmt: skip
        yield Case(name, "restart", "counters that begin again change no share",
                   {_runs("failed"): f"0+{calm}x{half} 0+{calm}x{half}",
                    _runs("success"): f"0+{100 - calm}x{half} 0+{100 - calm}x{half}"},
                   at=at)  # fmt: skip
        yield Case(name, "labels", "one goal for an environment, over all pipelines",
                   {**mix(burning), _runs("cancelled"): f"0+900x{length}",
                    _runs("success", "globex"): f"0+{burning * 100}x{length}"},
                   at=at)  # fmt: skip


CASES = tuple(_cases())
"""All of them."""
