"""What a reader can choose, and how a selector follows it."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.model import Variable

ENV = 'deployment_environment_name=~"$environment"'
"""Every series of the platform."""
STEP = f'{ENV}, pipeline_name=~"$pipeline"'
"""Series that name a pipeline."""
RUN = f'{ENV}, organization=~"$organization", pipeline_name=~"$pipeline"'
"""Series that name a pipeline and whose it is."""
# Of a variable with one value Grafana escapes the quotes only: it is no regular expression.
ONE_STEP = f'{ENV}, pipeline_name="$pipeline"'
"""The same, where exactly one pipeline is chosen."""
ONE_RUN = f'{ENV}, organization=~"$organization", pipeline_name="$pipeline"'
"""The same, where exactly one pipeline is chosen."""
SERVED = f'{ENV}, job="$service"'
"""Series of the one service that is chosen."""

FAILED = 'status=~"failed|lost"'
"""Runs and deliveries that ended badly."""

_ENVIRONMENT_FIELD = "resource.attributes.deployment.environment.name"
RECORD_ENV = f"{_ENVIRONMENT_FIELD}:/${{environment:regex}}/"
"""Records of the platform: a regular expression, since that is what `All` is."""
RECORD_RUN = (
    f"{RECORD_ENV} AND attributes.pipeline.name:/${{pipeline:regex}}/"
    " AND attributes.pipeline.organization:/${organization:regex}/"
)
"""Records that name a pipeline and whose it is."""

ENVIRONMENT = Variable(
    "environment", "Environment", "label_values(etl_platform_info, deployment_environment_name)"
)
ORGANIZATION = Variable(
    "organization",
    "Organization",
    f"label_values(pipeline_executions_total{{{ENV}}}, organization)",
)
PIPELINE = Variable(
    "pipeline",
    "Pipeline",
    f'label_values(pipeline_executions_total{{{ENV}, organization=~"$organization"}}, '
    "pipeline_name)",
)
ONE_PIPELINE = Variable("pipeline", "Pipeline", PIPELINE.values, several=False)
SERVICE = Variable(
    "service", "Service", f"label_values(etl_platform_info{{{ENV}}}, job)", several=False
)


def rate(metric: str, where: str, window: str = "$__rate_interval") -> str:
    """Return events a second of a counter, each series by itself.

    >>> rate("x_total", 'a="1"')
    'rate(x_total{a="1"}[$__rate_interval])'
    """
    return f"rate({metric}{{{where}}}[{window}])"


def rise(metric: str, where: str, window: str = "$__range") -> str:
    """Return by how much a counter rose within the time that is shown.

    >>> rise("x_total", 'a="1"')
    'increase(x_total{a="1"}[$__range])'
    """
    return f"increase({metric}{{{where}}}[{window}])"


def share(part: str, whole: str) -> str:
    """Return a part of a whole: 0 where there is no such part, nothing where there is no whole.

    0 of 0 is not 100 %, and a pipeline that never succeeded has no series of successes.
    """
    return f"({part} or 0 * {whole})\n/\n({whole} > 0)"


def each_of(part: str, whole: str) -> str:
    """Return what each series of ``part`` is of one sum; nothing where that is nothing."""
    return f"{part}\n/ on () group_left ()\n({whole} > 0)"


def quantile(rank: float, metric: str, where: str, by: str = "") -> str:
    """Return a percentile of a histogram over the interval, by these labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({rank}, sum by ({labels}) ({rate(metric + '_bucket', where)}))"


def percentiles(metric: str, where: str) -> tuple[tuple[str, str], ...]:
    """Return the median, and what 1 of 20 and 1 of 100 exceed, with their names."""
    ranks = ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    return tuple((quantile(rank, metric, where), name) for rank, name in ranks)
