"""The engines of the stack, in the order in which they are built: one entry each."""

from __future__ import annotations

from pathlib import Path

from support.engines.recipe import Engine, EngineError, Step

RECIPES = Path(__file__).parent / "recipes"
PRODUCT = Path(__file__).parents[3] / "collector"

# Whatever the user's Go is set to do, the checksums of the recipe hold.
_GO = {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}
_COMPILE = ("{go}", "build", "-v", "-buildvcs=false", "-trimpath")
_SMALL = "-s -w"  # without symbols and debug information


def _go_module(*, module: str, programs: tuple[str, ...], stamp: str, tags: str = "") -> Step:
    """Return the step that compiles `programs`, import paths below `module`, of a tools module."""
    flags = f"{_SMALL} -X {stamp}"
    packages = tuple(f"{module}/{program}" for program in programs)
    command = (*_COMPILE, "-tags", tags, "-ldflags", flags, "-o", "{output}/", *packages)
    return Step(name="compile", command=command, environment=_GO)


def _maven(home: str) -> Step:
    """Return the step that lets Maven fill `{output}` with jars; a wrong checksum ends it."""
    return Step(
        name="package",
        command=("{mvn}", "-B", "-C", "-ntp", f"-Dhome={home}", "package"),
        environment={"JAVA_HOME": "{jdk}"},
    )


def _verify(folder: str) -> Step:
    """Return the step that compares every jar with the recipe's list."""
    command = ("{python}", "-m", "support.engines.jars", "{work}/jars.sha256", folder)
    return Step(name="verify", command=command)


COLLECTOR = Engine(
    name="collector",
    version="0.158.0",
    programs={"collector": "etl-otelcol"},
    sources={".": RECIPES / "collector", "manifest.yaml": PRODUCT / "manifest.yaml"},
    steps=(
        Step(
            name="builder",
            command=(
                *_COMPILE,
                *("-o", "{work}/ocb", "go.opentelemetry.io/collector/cmd/builder"),
            ),
            folder="builder",
            environment=_GO,
        ),
        Step(
            name="generate",
            command=(
                *("{work}/ocb", "--config", "manifest.yaml", "--skip-compilation"),
                *("--skip-get-modules", "--skip-strict-versioning"),
            ),
        ),
        Step(
            name="compile",
            command=(
                *(*_COMPILE, "-tags", "grpcnotrace"),
                *("-ldflags", _SMALL, "-o", "{output}/etl-otelcol", "."),
            ),
            folder="build",
            environment=_GO,
        ),
    ),
    needs={"go": "1.26.0"},
    commands={"collector": ("etl-otelcol", "otelcol-contrib")},
)

ELASTICSEARCH = Engine(
    name="elasticsearch",
    version="9.5.3",
    programs={"elasticsearch": "."},
    sources={".": RECIPES / "elasticsearch"},
    steps=(
        _maven("{output}/home"),
        _verify("{output}/home"),
        Step(name="natives", command=("mkdir", "-p", "{output}/natives")),
        # Its name without a version is what Elasticsearch opens; distributions have it with one.
        Step(name="libzstd", command=("cp", "-L", "{libzstd}", "{output}/natives/libzstd.so")),
    ),
    needs={"jdk": "25", "mvn": "3.6.3", "libzstd": "1"},
    version_jar="home/lib/elasticsearch-[0-9]*.jar",
)

KAFKA = Engine(
    name="kafka",
    version="4.1.0",
    programs={"kafka": "."},
    sources={".": RECIPES / "kafka"},
    steps=(_maven("{output}"), _verify("{output}")),
    needs={"jdk": "17", "mvn": "3.6.3"},
    version_jar="kafka_*-[0-9]*.jar",
)

PROMETHEUS = Engine(
    name="prometheus",
    version="3.14.0",
    programs={"prometheus": "prometheus", "promtool": "promtool"},
    sources={".": RECIPES / "prometheus"},
    steps=(
        _go_module(
            module="github.com/prometheus/prometheus/cmd",
            programs=("prometheus", "promtool"),
            stamp="github.com/prometheus/common/version.Version=3.14.0",
            tags="netgo,remove_all_sd",
        ),
    ),
    needs={"go": "1.26.0"},
    commands={"prometheus": ("prometheus",), "promtool": ("promtool",)},
)

JAEGER = Engine(
    name="jaeger",
    version="2.13.0",
    programs={"jaeger": "jaeger"},
    sources={".": RECIPES / "jaeger"},
    steps=(
        _go_module(
            module="github.com/jaegertracing/jaeger/cmd",
            programs=("jaeger",),
            stamp="github.com/jaegertracing/jaeger/internal/version.latestVersion=v2.13.0",
        ),
    ),
    needs={"go": "1.26.0"},
    commands={"jaeger": ("jaeger",)},
)

ALERTMANAGER = Engine(
    name="alertmanager",
    version="0.31.0",
    programs={"alertmanager": "alertmanager", "amtool": "amtool"},
    sources={".": RECIPES / "alertmanager"},
    steps=(
        _go_module(
            module="github.com/prometheus/alertmanager/cmd",
            programs=("alertmanager", "amtool"),
            stamp="github.com/prometheus/common/version.Version=0.31.0",
        ),
    ),
    needs={"go": "1.26.0"},
    commands={"alertmanager": ("alertmanager",), "amtool": ("amtool",)},
)

VICTORIAMETRICS = Engine(
    name="victoriametrics",
    version="1.130.0",
    programs={"victoriametrics": "victoria-metrics"},
    sources={".": RECIPES / "victoriametrics"},
    steps=(
        _go_module(
            module="github.com/VictoriaMetrics/VictoriaMetrics/app",
            programs=("victoria-metrics",),
            stamp="github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version="
            "victoria-metrics-tags-v1.130.0",
        ),
    ),
    needs={"go": "1.26.0"},
    commands={"victoriametrics": ("victoria-metrics", "victoria-metrics-prod")},
)

LOKI = Engine(
    name="loki",
    version="3.7.8",
    programs={"loki": "loki"},
    sources={".": RECIPES / "loki"},
    steps=(
        _go_module(
            module="github.com/grafana/loki/v3/cmd",
            programs=("loki",),
            stamp="github.com/grafana/loki/v3/pkg/util/build.Version=3.7.8",
        ),
    ),
    needs={"go": "1.26.5"},
    commands={"loki": ("loki",)},
    default=False,
)

ENGINES = (
    *(COLLECTOR, ELASTICSEARCH, KAFKA, PROMETHEUS, JAEGER, ALERTMANAGER, VICTORIAMETRICS),
    LOKI,
)


def engine_of(name: str, *, engines: tuple[Engine, ...] = ENGINES) -> Engine:
    """Return the engine called `name`, or the one that has a program of this name."""
    for engine in engines:
        if name == engine.name or name in engine.programs:
            return engine
    known = sorted({name for engine in engines for name in (engine.name, *engine.programs)})
    raise EngineError(f"There is no engine {name!r}. There are: {', '.join(known)}.")
