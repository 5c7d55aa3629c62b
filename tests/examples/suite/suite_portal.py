"""Pages, API, and the airports pipeline that reads the platform's own API over HTTP."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from celery import current_app
from django.core.cache import cache
from django.test import Client, LiveServerTestCase, TestCase, override_settings

from apps.accounts.models import Membership, Organization, User
from apps.pipelines import ledger, services
from apps.pipelines.models import Pipeline, PipelineRun
from apps.pipelines.seeding import seed
from apps.warehouse.models import Route


class CommittingClient(Client):
    """A client whose requests commit, as far as `on_commit` can tell inside of a TestCase."""

    def request(self, **request: Any) -> Any:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return super().request(**request)


QUICK = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])


@QUICK
class PortalCase(TestCase):
    """A seeded platform, the demo user signed in by session, tasks in this process."""

    client_class = CommittingClient

    @classmethod
    def setUpTestData(cls) -> None:
        cls.world = seed("demo")

    def setUp(self) -> None:
        current_app.conf.task_always_eager = True
        self.addCleanup(setattr, current_app.conf, "task_always_eager", False)  # noqa: FBT003
        self.client.force_login(User.objects.get(username="demo"))
        self.token = {"Authorization": f"Bearer {self.world['token']}"}


class Pages(PortalCase):
    def test_pages_want_a_sign_in(self) -> None:
        """Whoever is not signed in is sent to the sign-in page."""
        for address in ("/", "/pipelines/flights-oo-ewr/"):
            answer = CommittingClient().get(address)
            assert (answer.status_code, answer.url) == (302, f"/accounts/login/?next={address}")

    def test_user_signs_in_and_starts_a_run(self) -> None:
        """Sign-in, list, button, and the run's page with the rows of its steps."""
        client = CommittingClient(enforce_csrf_checks=True)
        page = client.get("/accounts/login/")
        signed_in = client.post(
            "/accounts/login/",
            {
                "username": "demo",
                "password": "demo",
                "csrfmiddlewaretoken": page.context["csrf_token"],
            },
        )
        assert (signed_in.status_code, signed_in.url) == (302, "/")
        page = client.get("/")
        assert page.content.count(b"<tr>") == 72
        started = client.post(
            "/pipelines/flights-yv-lga/run", {"csrfmiddlewaretoken": page.context["csrf_token"]}
        )
        run = PipelineRun.objects.get()
        assert (started.status_code, started.url) == (302, f"/runs/{run.pk}/")
        assert (run.status, run.trigger_type, run.triggered_by.username) == (
            "success", "manual", "demo",
        )  # fmt: skip
        text = client.get(started.url).content.decode()
        assert run.trace_id in text
        assert '<td class="number">544</td>' in text

    def test_the_demos_login_opens_the_dashboard(self) -> None:
        """Name and password that `seed` prints: the page and its JSON show what that user ran."""
        client = CommittingClient()
        assert client.login(username=self.world["username"], password=self.world["password"])
        client.post("/pipelines/flights-yv-lga/run")
        pipeline = Pipeline.objects.get(name="flights-yv-lga")
        page = client.get("/monitoring/?q=yv-lga")
        assert page.status_code == 200
        assert f'href="/monitoring/pipelines/{pipeline.pk}/?window=24h">' in page.content.decode()
        told = client.get("/monitoring/api/v1/system").json()
        assert (told["system"]["total_runs"], told["success_rate"]) == (1, 1.0)
        runs = client.get(f"/monitoring/api/v1/pipelines/{pipeline.pk}/runs").json()["rows"]
        (run,) = PipelineRun.objects.all()
        assert [(each["id"], each["status"], each["trigger"]) for each in runs] == [
            (str(run.pk), "success", "manual")
        ]

    def test_button_is_guarded_against_foreign_sites(self) -> None:
        """Without its CSRF token the form starts nothing."""
        client = CommittingClient(enforce_csrf_checks=True)
        client.login(username="demo", password="demo")
        assert client.post("/pipelines/flights-oo-ewr/run").status_code == 403
        assert not PipelineRun.objects.exists()

    def test_viewer_may_look_but_not_start(self) -> None:
        """Another tenant's pipeline is not found; one's own can't be started by a viewer."""
        ann = User.objects.create_user("ann")
        Membership.objects.create(user=ann, organization=Organization.objects.get(code="OO"))
        client = CommittingClient()
        client.force_login(ann)
        assert client.get("/pipelines/flights-oo-ewr/").status_code == 200
        assert client.get("/pipelines/flights-ua-ewr/").status_code == 404
        assert client.post("/pipelines/flights-oo-ewr/run").status_code == 403
        assert not PipelineRun.objects.exists()

    def test_run_can_be_repeated_but_not_cancelled_after_its_end(self) -> None:
        """A run that ended offers `Run again`; a late cancel says so and changes nothing."""
        self.client.post("/pipelines/flights-oo-ewr/run")
        run = PipelineRun.objects.get()
        late = self.client.post(f"/runs/{run.pk}/cancel", follow=True)
        assert b"The run had already ended." in late.content
        again = self.client.post(f"/runs/{run.pk}/again", follow=True)
        assert b"attempt 2" in again.content

    def test_admin_pages_open(self) -> None:
        """Each list and a run's page can be opened, and the action starts runs."""
        self.client.post("/pipelines/flights-oo-ewr/run")
        run = PipelineRun.objects.get()
        for page in (
            "pipeline",
            "pipelinerun",
            "taskrun",
            f"pipelinerun/{run.pk}/change",
        ):
            assert self.client.get(f"/admin/pipelines/{page}/").status_code == 200, page
        for page in ("flight", "quarantinedflight", "delayline", "observation", "route", "plane"):
            assert self.client.get(f"/admin/warehouse/{page}/").status_code == 200, page
        pipeline = Pipeline.objects.get(name="flights-oo-lga")
        self.client.post(
            "/admin/pipelines/pipeline/",
            {"action": "start_runs", "_selected_action": [pipeline.pk]},
        )
        assert pipeline.runs.get().triggered_by.username == "demo"


class Api(PortalCase):
    def post(
        self, path: str, body: str = "", *, token: bool = True
    ) -> tuple[int, dict[str, object]]:
        """Send a request of a program."""
        answer = self.client.post(
            path, body, content_type="application/json", headers=self.token if token else {}
        )
        return answer.status_code, answer.json()

    def test_program_starts_a_run_and_follows_it(self) -> None:
        """POST answers 202 with the run, GET tells how it ended, the list has it."""
        status, started = self.post("/api/pipelines/flights-oo-ewr/runs")
        assert (status, started["status"], started["trigger"]) == (202, "pending", "api")
        run = self.client.get(f"/api/runs/{started['id']}", headers=self.token).json()
        assert (run["status"], run["triggered_by"], run["attempt"]) == ("success", "demo", 1)
        runs = self.client.get("/api/runs?pipeline=flights-oo-ewr").json()["runs"]
        assert runs == [run]
        assert self.client.get("/api/runs?active=1").json() == {"runs": []}
        refused = self.client.get("/api/runs?pipeline=%00")
        assert (refused.status_code, refused.json()) == (
            400, {"error": "No pipeline has a NUL in its name."},
        )  # fmt: skip

    def test_options_limit_a_run_and_wrong_ones_are_explained(self) -> None:
        """A window of days is taken; anything else is refused with an example."""
        status, _ = self.post(
            "/api/pipelines/flights-oo-lga/runs", '{"since": "2013-09-01", "until": "2013-09-30"}'
        )
        assert status == 202
        rows = ledger.dump()["rows"]["flights-oo-lga"]
        assert rows["extract"]["reasons"] == {"outside_window": 6}
        status, refusal = self.post("/api/pipelines/flights-oo-lga/runs", '{"hold": 60}')
        assert status == 400
        assert refusal["error"] == (
            'The body must be a JSON object with no other keys than "since" and "until", '
            'for instance {"since": "2013-01-01", "until": "2013-01-31"}.'
        )
        status, refusal = self.post("/api/pipelines/flights-oo-lga/runs", '{"since": "yesterday"}')
        assert (status, refusal["error"]) == (
            400, "since must be an ISO day such as 2013-01-31, got 'yesterday'.",
        )  # fmt: skip
        assert self.post("/api/pipelines/flights-oo-lga/runs", "{")[0] == 400

    def test_nobody_changes_anything_without_a_token(self) -> None:
        """A session may read, but starting a run wants a token; a wrong token is nobody's."""
        assert self.post("/api/pipelines/flights-oo-ewr/runs", token=False)[0] == 401
        assert CommittingClient().get("/api/pipelines").status_code == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert CommittingClient().get("/api/pipelines", headers=wrong).status_code == 401
        assert len(self.client.get("/api/pipelines").json()["pipelines"]) == 71

    def test_cancel_of_an_ended_run_is_a_conflict(self) -> None:
        """Cancelling what has ended answers 409."""
        _, run = self.post("/api/pipelines/flights-oo-ewr/runs")
        status, refusal = self.post(f"/api/runs/{run['id']}/cancel")
        assert (status, refusal) == (409, {"error": "The run has already ended: success."})

    def test_requests_have_a_transaction_but_reading_apis_do_not_wait_for_one(self) -> None:
        """ATOMIC_REQUESTS is on; on SQLite a reader must not take the write lock for that."""
        from django.db import connection
        from django.urls import resolve

        assert connection.settings_dict["ATOMIC_REQUESTS"] is True
        for path in ("/api/pipelines", "/api/runs", "/api/error", "/api/reference/airports"):
            assert resolve(path).func._non_atomic_requests == {"default"}, path


@override_settings(AIRPORTS_REFUSE_EVERY=0)
class Reference(PortalCase):
    def test_pages_cover_all_airports_once(self) -> None:
        """15 pages have 1,458 airports; there is no page 16."""
        pages = [self.client.get(f"/api/reference/airports?page={n}").json() for n in range(1, 16)]
        codes = [airport["faa"] for page in pages for airport in page["results"]]
        assert (len(codes), len(set(codes)), pages[0]["pages"]) == (1458, 1458, 15)
        answer = self.client.get("/api/reference/airports?page=16")
        assert (answer.status_code, answer.json()["error"]) == (
            404,
            "page must be 1 to 15, got '16'",
        )

    @override_settings(AIRPORTS_REFUSE_EVERY=3)
    def test_busy_api_says_when_to_come_back(self) -> None:
        """Each third call is answered with 429 and Retry-After."""
        cache.clear()
        answers = [self.client.get("/api/reference/airports") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 200, 429]
        assert answers[2]["Retry-After"] == "1"


@QUICK
class Enrichment(LiveServerTestCase):
    def setUp(self) -> None:
        cache.clear()
        self.world = seed("demo")
        current_app.conf.task_always_eager = True
        self.addCleanup(setattr, current_app.conf, "task_always_eager", False)  # noqa: FBT003
        settings = override_settings(PLATFORM_URL=self.live_server_url)
        settings.enable()
        self.addCleanup(settings.disable)

    def run_pipeline(self, name: str) -> PipelineRun:
        """Run a pipeline to its end, in this process."""
        pipeline = Pipeline.objects.get(name=name)
        # A chain that is executed in this process raises what its task has raised.
        with contextlib.suppress(Exception):
            services.trigger(pipeline, trigger_type="manual")
        return pipeline.runs.get()

    @override_settings(AIRPORTS_REFUSE_EVERY=10)
    def test_retry_goes_on_where_the_api_was_busy(self) -> None:
        """429 retries the task; pages that are there are not fetched again, rows count once."""
        self.run_pipeline("flights-yv-lga")
        run = self.run_pipeline("airports-yv")
        assert run.status == "success", run.error
        assert ledger.dump()["tasks"]["airports-yv"] == {
            "extract": {"retried": 1, "success": 1},
            "transform": {"success": 1},
            "load": {"success": 1},
        }
        assert cache.get("reference.airports.calls") == 16
        rows = ledger.dump()["rows"]["airports-yv"]
        assert (rows["extract"]["read"], rows["transform"]["read"]) == (1458, 601)
        assert sum(Route.objects.values_list("flights", flat=True)) == 601

    def test_withdrawn_token_fails_the_run_with_advice(self) -> None:
        """A refusal that will not go away by itself is not retried."""
        User.objects.update(is_active=False)
        run = self.run_pipeline("airports-yv")
        assert run.status == "failed"
        assert run.error.endswith(
            "answered 401 Unauthorized. Check the url and the token of connector 'airports-api'."
        )
        assert ledger.dump()["tasks"]["airports-yv"]["extract"] == {"failed": 1}

    def test_unreachable_api_is_tried_again_until_it_is_enough(self) -> None:
        """Network errors are retried five times, then the run fails."""
        with override_settings(PLATFORM_URL="http://127.0.0.1:1"):
            run = self.run_pipeline("airports-yv")
        assert run.status == "failed"
        assert json.dumps(ledger.dump()["tasks"]["airports-yv"]["extract"]) == json.dumps(
            {"failed": 1, "retried": 5}
        )
