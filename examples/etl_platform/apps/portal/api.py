"""The JSON API: pipelines, runs, and starting and cancelling them.

    GET  /api/pipelines                     the pipelines that the user may see
    POST /api/pipelines/<name>/runs         start a run: 202 with the run
    GET  /api/runs?pipeline=<name>&active=1 the latest runs
    GET  /api/runs/<id>                     one run
    POST /api/runs/<id>/cancel              cancel it
    GET  /api/error                         fail, to see what an error looks like

Reading works with a session or a token, changing something only with a token
(`Authorization: Bearer <key>`), which no browser sends by itself: so there is no CSRF.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.pipelines import services
from apps.pipelines.ledger import run_as_dict
from apps.pipelines.models import Pipeline, PipelineRun

PAGE = 500
"""Most runs in one answer."""
View = Callable[..., JsonResponse]


def _refusal(status: int, message: str) -> JsonResponse:
    return JsonResponse({"error": message}, status=status)


def signed_in(view: View) -> View:
    """Refuse with 401 who is not signed in, by session or by token."""

    @wraps(view)
    def check(request: HttpRequest, **kwargs: Any) -> JsonResponse:
        if not request.user.is_authenticated:
            return _refusal(401, "Sign in, or send Authorization: Bearer <API token>.")
        return view(request, **kwargs)

    return check


def by_token(view: View) -> View:
    """Refuse with 401 who carries no token: for views that change something."""

    @wraps(view)
    def check(request: HttpRequest, **kwargs: Any) -> JsonResponse:
        if not request.signed_in_by_token:
            return _refusal(401, "Send Authorization: Bearer <API token>.")
        return view(request, **kwargs)

    return csrf_exempt(check)


def visible_runs(request: HttpRequest) -> Any:
    """Return the runs of the organizations that the user belongs to."""
    runs = PipelineRun.objects.select_related("pipeline__organization", "triggered_by")
    return runs.filter(pipeline__organization__in=request.user.visible_organizations())


@require_GET
@signed_in
@transaction.non_atomic_requests
def pipelines(request: HttpRequest) -> JsonResponse:
    """List the pipelines that the user may see."""
    found = Pipeline.visible_to(request.user).filter(is_active=True)
    return JsonResponse(
        {
            "pipelines": [
                {
                    "id": pipeline.pk,
                    "name": pipeline.name,
                    "kind": pipeline.kind,
                    "organization": pipeline.organization.code,
                    "stage": pipeline.stage,
                }
                for pipeline in found
            ]
        }
    )


@require_POST
@by_token
def start_run(request: HttpRequest, name: str) -> JsonResponse:
    """Start a run; an optional JSON body has its options, for instance a window of days."""
    pipeline = get_object_or_404(Pipeline.visible_to(request.user), name=name, is_active=True)
    if not request.user.may_operate(pipeline.organization):
        return _refusal(403, f"You may not start runs of {pipeline.organization.code}.")
    try:
        options = run_options(request.body)
    except ValueError as error:
        return _refusal(400, str(error))
    run = services.trigger(
        pipeline, trigger_type=PipelineRun.Trigger.API, user=request.user, options=options
    )
    return JsonResponse(run_as_dict(run), status=202)


def run_options(body: bytes) -> dict[str, str]:
    """Return the options in the body of a request; raise ValueError that says what is wrong."""
    options = json.loads(body or b"{}")
    allowed = {"since", "until"}
    if not isinstance(options, dict) or not allowed.issuperset(options):
        raise ValueError(
            'The body must be a JSON object with no other keys than "since" and "until", '
            'for instance {"since": "2013-01-01", "until": "2013-01-31"}.'
        )
    for key, value in options.items():
        try:
            date.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{key} must be an ISO day such as 2013-01-31, got {value!r}."
            ) from error
    return options


@require_GET
@signed_in
@transaction.non_atomic_requests
def runs(request: HttpRequest) -> JsonResponse:
    """List the latest runs, of one pipeline with `pipeline`, active ones with `active=1`."""
    found = visible_runs(request)
    if name := request.GET.get("pipeline"):
        if "\0" in name:
            return _refusal(400, "No pipeline has a NUL in its name.")
        found = found.filter(pipeline__name=name)
    if request.GET.get("active") == "1":
        found = found.filter(status__in=PipelineRun.ACTIVE)
    return JsonResponse({"runs": [run_as_dict(run) for run in found[:PAGE]]})


@require_GET
@signed_in
@transaction.non_atomic_requests
def error(request: HttpRequest) -> JsonResponse:
    """Fail as a view with a mistake does: for looking at requests that fail."""
    raise RuntimeError("This view fails on purpose.")


@require_GET
@signed_in
@transaction.non_atomic_requests
def run(request: HttpRequest, run_id: str) -> JsonResponse:
    """Tell about one run."""
    found = visible_runs(request).filter(pk=run_id).first()
    if found is None:
        raise Http404
    return JsonResponse(run_as_dict(found))


@require_POST
@by_token
def cancel_run(request: HttpRequest, run_id: str) -> JsonResponse:
    """Cancel a run: 409 when it has ended already."""
    found = get_object_or_404(visible_runs(request), pk=run_id)
    if not request.user.may_operate(found.pipeline.organization):
        return _refusal(403, f"You may not cancel runs of {found.pipeline.organization.code}.")
    if not services.cancel(found, reason=f"Cancelled by {request.user.get_username()}."):
        return _refusal(409, f"The run has already ended: {found.status}.")
    found.refresh_from_db()
    return JsonResponse(run_as_dict(found))
