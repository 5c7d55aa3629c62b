"""The proof of adoption: `django-admin startproject` and one line in INSTALLED_APPS."""

from __future__ import annotations

import sys

import pytest

from support.django_project import COMMAND, TESTS, Project, fresh, get, project, wait_for

__all__ = ["fresh", "project"]

MANAGE = (sys.executable, "manage.py")
GUNICORN = (
    sys.executable, "-m", "gunicorn", "shop.wsgi", "--bind", "127.0.0.1:{port}", "--workers", "1",
)  # fmt: skip
SERVERS = {
    "runserver": (*MANAGE, "runserver", "--noreload", "{port}"),
    "runserver-reload": (*MANAGE, "runserver", "{port}"),
    "gunicorn": GUNICORN,
    "gunicorn-preload": (*GUNICORN, "--preload"),
    "uvicorn": (sys.executable, "-m", "uvicorn", "shop.asgi:application", "--port", "{port}"),
}
WRONG = {
    "ETL_TELEMETRY_DEADLINE": "soon",
    "ETL_TELEMETRY_SAMPLER_ARG": "1.5",
    "ETL_TELEMETRY_SERVICENAME": "shop",
    "OTEL_TRACES_SAMPLER": "alwayson",
}
PROBLEMS = (
    "etl-telemetry: 3 wrong values:",
    (
        "'ETL_TELEMETRY_SERVICENAME' is unknown (from the environment); "
        "did you mean 'ETL_TELEMETRY_SERVICE_NAME'?"
    ),
    (
        "deadline must be a number of seconds above 0, got 'soon' (from ETL_TELEMETRY_DEADLINE); "
        "correct it or remove it"
    ),
    (
        "sampler_arg must be a number between 0 and 1, got '1.5' (from ETL_TELEMETRY_SAMPLER_ARG); "
        "correct it or remove it"
    ),
)
COMMANDS = (
    ("check",),
    ("migrate",),
    ("collectstatic", "--noinput"),
    ("shell", "-c", "print('here')"),
    ("test",),
)


def requests_seen(project: Project) -> list[tuple[str, object, object]]:
    """Return the server spans that arrived."""
    return sorted(
        (
            span.name,
            span.attributes.get("http.route"),
            span.attributes["http.response.status_code"],
        )
        for span in project.query.spans(service="shop")
        if span.kind == "server"
    )


def measured(project: Project) -> dict[tuple[object, ...], int]:
    """Return the number of requests by status that the histogram counted."""
    found = project.query.sum_latest(
        "http.server.request.duration", by=("service.name", "http.response.status_code")
    )
    return {key: getattr(value, "count", 0) for key, value in found.items()}


@pytest.mark.parametrize("server", SERVERS)
def test_a_requests_span_metric_and_log_arrive(project: Project, server: str) -> None:
    """One line, and nothing else: the same under every server."""
    with project.serving(*SERVERS[server]) as address:
        assert (get(f"{address}/admin/login/"), get(f"{address}/nope")) == (200, 404)
        wait_for(
            lambda: (
                len(requests_seen(project)) >= 2
                and sum(measured(project).values()) >= 2
                and project.query.logs(logger="django.request")
            ),
            lambda: (project.query.counts(), (project.folder / "server.log").read_text()),
        )
    assert requests_seen(project) == [("GET", None, 404), ("GET admin/login/", "admin/login/", 200)]
    assert measured(project) == {("shop", 200): 1, ("shop", 404): 1}
    (record,) = project.query.logs(logger="django.request")
    assert (record.body, record.severity_text, record.service) == (
        "Not Found: /nope", "WARN", "shop",
    )  # fmt: skip


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_commands_export_nothing_and_never_fail(
    project: Project,
    wrong: bool,  # noqa: FBT001 - a parameter
) -> None:
    """`check`, `migrate`, `collectstatic`, `shell -c`, `test`: exit code 0, and no connection."""
    project.append("shop/settings.py", "STATIC_ROOT = BASE_DIR / 'static'\n")
    project.append("shop/tests.py", TESTS)
    results = {words[0]: project.manage(*words, **WRONG if wrong else {}) for words in COMMANDS}
    assert {name: done.returncode for name, done in results.items()} == dict.fromkeys(results, 0), [
        done.stderr for done in results.values()
    ]
    assert "here" in results["shell"].stdout
    assert "Ran 1 test" in results["test"].stderr
    assert project.receiver.connections == 0
    told = results["check"].stderr + results["check"].stdout
    assert told.count("(etl_telemetry.W001)") == (3 if wrong else 0)
    assert all(problem in told for problem in PROBLEMS[1:]) is wrong


@pytest.mark.parametrize("server", ["runserver", "gunicorn", "gunicorn-preload", "uvicorn"])
def test_wrong_configuration_stops_a_server_with_every_problem(
    project: Project, server: str
) -> None:
    """A process that serves says at start-up all that is wrong, and does not serve."""
    words = [word.format(port=0) for word in SERVERS[server]]
    done = project.run(*words, **WRONG)
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert [problem for problem in PROBLEMS if problem not in printed] == []
    assert project.receiver.connections == 0


def test_commands_of_the_project_export(project: Project) -> None:
    """They do the application's work; `silent_commands` names those that do not."""
    for package in ("jobs", "jobs/management", "jobs/management/commands"):
        project.append(f"{package}/__init__.py", "")
    project.append("jobs/management/commands/load.py", COMMAND)
    project.append("shop/settings.py", "INSTALLED_APPS += ['jobs']\n")
    silent = project.manage("load", ETL_TELEMETRY_SILENT_COMMANDS="load,cleanup")
    assert (silent.returncode, project.receiver.connections) == (0, 0), silent.stderr
    done = project.manage("load")
    assert done.returncode == 0, done.stderr
    (record,) = project.query.logs(logger="shop")
    assert record.body == "loaded"


def test_wrong_standard_variables_are_one_warning_on_any_console(project: Project) -> None:
    """The specification: the process goes on with the defaults, and says so."""
    environment = {"OTEL_TRACES_SAMPLER": "alwayson", "OTEL_SPAN_EVENT_COUNT_LIMIT": "many"}
    with project.serving(*SERVERS["runserver"], **environment) as address:
        assert get(f"{address}/admin/login/") == 200
        wait_for(lambda: requests_seen(project), project.query.counts)
    printed = (project.folder / "server.log").read_text()
    assert printed.count("configuration_warning: 2 wrong values are ignored, as if not set:") == 1
    assert printed.count("OTEL_TRACES_SAMPLER must be one of") == 1
    assert requests_seen(project) == [("GET admin/login/", "admin/login/", 200)]


SETUP = "\nfrom etl_telemetry import setup_telemetry\n\nsetup_telemetry()\n"
SETTING = '\nETL_TELEMETRY = {"SERVICE_NAME": "named", "ENVIRONMENT": "production"}\n'


@pytest.mark.parametrize(
    "place", ["shop/settings.py", "shop/celery.py", "shop/wsgi.py", "manage.py"]
)
def test_set_up_wherever_it_is_called_knows_the_setting(project: Project, place: str) -> None:
    """In the settings themselves, while they are imported, before or after Django is set up."""
    project.append("shop/settings.py", SETTING)
    project.append("VERSION", "7.8.9\n")
    if place == "shop/celery.py":
        project.append("shop/__init__.py", "from shop import celery\n")
    if place == "manage.py":
        main = (project.folder / place).read_text()
        before = "    try:\n        from django.core"
        call = "    from etl_telemetry import setup_telemetry\n    setup_telemetry()\n"
        (project.folder / place).write_text(main.replace(before, call + before))
    else:
        project.append(place, SETUP)
    server = SERVERS["gunicorn" if place == "shop/wsgi.py" else "runserver"]
    with project.serving(*server, OTEL_SERVICE_NAME="") as address:
        assert get(f"{address}/admin/login/") == 200
        wait_for(
            lambda: project.query.spans(name="GET admin/login/"),
            lambda: (project.query.counts(), (project.folder / "server.log").read_text()),
        )
    (span,) = project.query.spans(name="GET admin/login/")
    told = ("service.name", "service.version", "deployment.environment.name")
    assert [span.resource[key] for key in told] == ["named", "7.8.9", "production"]


def test_project_without_our_app_may_call_set_up_itself(project: Project) -> None:
    """`setup_telemetry()` in `wsgi.py` alone is enough."""
    settings = project.folder / "shop/settings.py"
    settings.write_text(settings.read_text().replace('INSTALLED_APPS += ["etl_', "# "))
    wsgi = project.folder / "shop/wsgi.py"
    call = "from etl_telemetry import setup_telemetry\n\nsetup_telemetry()\n\napplication = "
    wsgi.write_text(wsgi.read_text().replace("application = ", call))
    with project.serving(*GUNICORN) as address:
        assert get(f"{address}/admin/login/") == 200
        wait_for(
            lambda: requests_seen(project),
            lambda: (project.query.counts(), (project.folder / "server.log").read_text()),
        )
    assert requests_seen(project) == [("GET admin/login/", "admin/login/", 200)]
