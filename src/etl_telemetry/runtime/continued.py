"""Export sums that were rebuilt from a ledger as what they are: series that go on.

See `etl_telemetry.metrics.rebuild`: they begin where the ledger begins, and what the
process before has exported gets no zero in front a second time.
"""

from __future__ import annotations

import dataclasses

from opentelemetry.sdk.metrics.export import Gauge, Metric, MetricsData

from etl_telemetry import metrics


def with_begins(data: MetricsData) -> MetricsData:
    """Return `data` with the points of rebuilt sums beginning at their ledger's begin."""
    return dataclasses.replace(
        data,
        resource_metrics=[
            dataclasses.replace(
                resource,
                scope_metrics=[
                    dataclasses.replace(scope, metrics=[_begun(metric) for metric in scope.metrics])
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def _begun(metric: Metric) -> Metric:
    begin = metrics.begin_of(metric.name)
    if begin is None or isinstance(metric.data, Gauge):
        return metric
    points = [
        dataclasses.replace(point, start_time_unix_nano=begin) for point in metric.data.data_points
    ]
    return dataclasses.replace(metric, data=dataclasses.replace(metric.data, data_points=points))  # type: ignore[arg-type]
