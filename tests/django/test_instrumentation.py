"""Django: instrumented once its settings exist, never before; WSGI and ASGI alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

def flights(request, carrier):
    return HttpResponse("ok")

async def weather(request):
    return HttpResponse("ok")

urlpatterns = [path("flights/<str:carrier>/", flights), path("weather/", weather)]
"""
INSTRUMENT = """
import os, sys
from support.telemetry import telemetry
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table

seen = telemetry()
def instrument():
    return table.instrument(Config(instrumentations=("django",)))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder with settings and urls."""
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "urls.py").write_text(URLS)
    return tmp_path


def run(script: str, folder: Path, **variables: str) -> list[str]:
    """Run a script in a process of its own; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", INSTRUMENT + script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)]), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_instrumentor_alone_freezes_empty_settings(project: Path) -> None:
    """The trap itself: without settings upstream configures empty ones, for good."""
    script = """
from opentelemetry.instrumentation.django import DjangoInstrumentor
from django.conf import settings
DjangoInstrumentor().instrument()
print(settings.configured)
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
print(hasattr(settings, "ROOT_URLCONF"))
"""
    assert run(script, project) == ["True", "False"]


def test_without_settings_nothing_happens_and_later_everything(project: Path) -> None:
    """The host can still choose its settings, and the next call instruments Django."""
    script = """
from django.conf import settings
print(instrument(), settings.configured)
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
print(instrument(), settings.configured, settings.SECRET_KEY)
print(instrument(), settings.MIDDLEWARE)
"""
    assert run(script, project) == [
        "[] False",
        "['django'] True x",
        "['django'] ['django.middleware.common.CommonMiddleware']",
    ]


@pytest.mark.parametrize("module", ["no_such_settings", "broken"])
def test_settings_that_do_not_load_are_the_hosts_own_error(module: str, project: Path) -> None:
    """We neither raise nor hide it: the host meets it where it loads them itself."""
    (project / "broken.py").write_text("raise KeyError('SECRET_KEY')")
    script = """
from django.conf import settings
print(instrument(), settings.configured)
try:
    settings.DEBUG
except Exception as error:
    print(type(error).__name__)
"""
    error = "KeyError" if module == "broken" else "ModuleNotFoundError"
    assert run(script, project, DJANGO_SETTINGS_MODULE=module) == ["[] False", error]


def test_settings_are_not_loaded_against_half_a_project(project: Path) -> None:
    """`shop/__init__.py` imports `celery.py`, which sets telemetry up: too early for settings."""
    shop = project / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("from shop import celery\nNAME = 'shop'\n")
    (shop / "celery.py").write_text(
        "import __main__\nfrom django.conf import settings\n"
        "print(__main__.instrument(), settings.configured)\n"
    )
    (shop / "settings.py").write_text(SETTINGS + "from shop import NAME\n")
    script = """
import django
django.setup()
from django.conf import settings
print(settings.NAME if hasattr(settings, "NAME") else sys.modules["shop"].NAME)
print(instrument())
"""
    assert run(script, project, DJANGO_SETTINGS_MODULE="shop.settings") == [
        "[] False",
        "shop",
        "['django']",
    ]


REQUESTS = """
import asyncio, django
instrument()
django.setup()
from django.test import AsyncClient, Client

def send(path):
    if {asgi}:
        return asyncio.run(AsyncClient().get(path)).status_code
    return Client().get(path).status_code

for path in ("/flights/AA/?token=secret", "/weather/", "/nowhere/"):
    print(send(path))
for span in seen.spans():
    print(span.name, span.kind.name, span.attributes.get("http.route"))
print(*sorted(seen.values()))
"""


@pytest.mark.parametrize("asgi", [False, True], ids=["WSGI", "ASGI"])
def test_each_request_is_one_span_and_one_measurement(*, asgi: bool, project: Path) -> None:
    """Through Django's test client too, which has handlers of its own."""
    printed = run(REQUESTS.format(asgi=asgi), project, DJANGO_SETTINGS_MODULE="settings")
    assert printed == [
        "200",
        "200",
        "404",
        "GET flights/<str:carrier>/ SERVER flights/<str:carrier>/",
        "GET weather/ SERVER weather/",
        "GET SERVER None",
        "http.server.request.duration",
    ]


def test_the_instrumentors_middleware_alone_misses_requests(project: Path) -> None:
    """Why the spans are ours: no span of a bad host, an end before the first byte."""
    (project / "urls.py").write_text("""
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

def parts():
    yield str(len(telemetry_seen.spans()))

def stream(request):
    return StreamingHttpResponse(parts())

urlpatterns = [path("stream/", stream)]
""")
    script = """
import django, logging, urls
logging.disable()
django.setup()
urls.telemetry_seen = seen
from opentelemetry.instrumentation.django import DjangoInstrumentor
from django.test import Client
if {ours}:
    instrument()
else:
    DjangoInstrumentor().instrument()
print(Client().get("/stream/", headers={{"host": "not a host"}}).status_code, len(seen.spans()))
seen.clear()
print("ended before the first byte:", b"".join(Client().get("/stream/").streaming_content))
"""
    alone = run(script.format(ours=False), project, DJANGO_SETTINGS_MODULE="settings")
    assert alone == ["400 0", "ended before the first byte: b'1'"]
    ours = run(script.format(ours=True), project, DJANGO_SETTINGS_MODULE="settings")
    assert ours == ["400 1", "ended before the first byte: b'0'"]


UNDO = """
import django
django.setup()
from django.core.handlers.base import BaseHandler
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

def methods():
    return BaseHandler.get_response, BaseDatabaseWrapper.connect, BaseDatabaseWrapper.commit

before = methods()
instrument()
print([now is then for now, then in zip(methods(), before)])
{between}
table.uninstrument()
print([now is then for now, then in zip(methods(), before)])
print(Client().get("/weather/").status_code, len(seen.spans()))
"""


def test_uninstrument_leaves_django_as_it_was(project: Path) -> None:
    """Its methods are its own again, and nothing is seen."""
    assert run(UNDO.format(between=""), project, DJANGO_SETTINGS_MODULE="settings") == [
        "[False, False, False]",
        "[True, True, True]",
        "200 0",
    ]


def test_uninstrument_leaves_what_another_product_put_around(project: Path) -> None:
    """Theirs stays, and calls ours, which sees nothing any more."""
    between = """
ours = BaseHandler.get_response
BaseHandler.get_response = lambda self, request: ours(self, request)
"""
    assert run(UNDO.format(between=between), project, DJANGO_SETTINGS_MODULE="settings") == [
        "[False, False, False]",
        "[False, True, True]",
        "200 0",
    ]


def test_a_later_call_of_the_instrumentor_adds_no_second_span(project: Path) -> None:
    """The application may call OpenTelemetry's instrumentor as well."""
    script = """
import django, logging
django.setup()
from django.conf import settings
from django.test import Client
from opentelemetry.instrumentation.django import DjangoInstrumentor
logging.disable()
instrument()
DjangoInstrumentor().instrument()
print(settings.MIDDLEWARE, Client().get("/weather/").status_code)
print([span.name for span in seen.spans()])
table.uninstrument()
print(DjangoInstrumentor().is_instrumented_by_opentelemetry)
"""
    assert run(script, project, DJANGO_SETTINGS_MODULE="settings") == [
        "['django.middleware.common.CommonMiddleware'] 200",
        "['GET weather/']",
        "False",
    ]


def test_who_was_first_keeps_the_spans_and_queries_are_counted(project: Path) -> None:
    """OpenTelemetry's middleware makes the span; the warning is ours."""
    (project / "urls.py").write_text("""
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def many(request):
    with connection.cursor() as cursor:
        for number in range(11):
            cursor.execute(f"SELECT {number}")
    return HttpResponse("ok")

urlpatterns = [path("many/", many)]
""")
    settings = SETTINGS + (
        'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}\n'
    )
    (project / "settings.py").write_text(settings)
    script = """
import django, logging
django.setup()
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="WARNING")
from opentelemetry.instrumentation.django import DjangoInstrumentor
DjangoInstrumentor().instrument()
from django.test import Client
instrument()
print(Client().get("/many/").status_code)
servers = [span for span in seen.spans() if span.kind.name == "SERVER"]
print([(s.name, s.kind.name, s.instrumentation_scope.name) for s in servers])
print([len(points) for name, points in seen.points().items() if name.endswith("duration")])
"""
    names = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,database"}
    assert run(script, project, DJANGO_SETTINGS_MODULE="settings", **names) == [
        "high_query_count",
        "200",
        "[('GET many/', 'SERVER', 'opentelemetry.instrumentation.django')]",
        "[1, 1, 1]",
    ]


def test_where_ddtrace_makes_the_spans_requests_are_measured_all_the_same(project: Path) -> None:
    """It sends nothing under OpenTelemetry's names: rates and alerts would have nothing to read."""
    script = """
import django, logging
django._datadog_patch = True
django.setup()
logging.disable()
instrument()
from django.test import Client
print(Client().get("/flights/AA/").status_code)
print(Client().get("/", headers={"host": "not a host"}).status_code)
print(len(seen.spans()))
for key, point in seen.points()["http.server.request.duration"].items():
    print(dict(key).get("http.route"), dict(key)["http.response.status_code"], point.count)
"""
    assert run(script, project, DJANGO_SETTINGS_MODULE="settings") == [
        "200",
        "400",
        "0",
        "flights/<str:carrier>/ 200 1",
        "None 400 1",
    ]


def test_djangos_error_page_and_its_mail_tell_the_trace_id(project: Path) -> None:
    """The debug page, and what the admins get where DEBUG is off."""
    (project / "urls.py").write_text("""
from django.urls import path

def boom(request):
    raise ValueError("no rows")

urlpatterns = [path("boom/", boom)]
""")
    (project / "settings.py").write_text(
        SETTINGS + 'ADMINS = [("Ann", "ann@a.example")]\n'
        'EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"\n'
    )
    script = """
import django
django.setup()
from django.conf import settings
from django.core import mail
from django.test import Client
instrument()
for debug in (True, False):
    seen.clear()
    settings.DEBUG = debug
    page = Client(raise_request_exception=False).get("/boom/").content.decode()
    (span,) = seen.spans()
    told = page if debug else mail.outbox[-1].body
    print("ETL_TELEMETRY_TRACE_ID" in told, f"{span.context.trace_id:032x}" in told)
"""
    assert run(script, project, DJANGO_SETTINGS_MODULE="settings") == ["True True", "True True"]
