"""The pages."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.models import Organization
from apps.pipelines import services
from apps.pipelines.models import Pipeline, PipelineRun
from apps.portal.api import visible_runs


@require_GET
@login_required
def pipelines(request: HttpRequest) -> HttpResponse:
    """Show the user's pipelines with their latest runs."""
    latest = PipelineRun.objects.filter(pipeline=OuterRef("pk")).order_by("-started_at")
    found = Pipeline.visible_to(request.user).annotate(
        last_status=Subquery(latest.values("status")[:1]),
        last_started=Subquery(latest.values("started_at")[:1]),
    )
    return render(request, "portal/pipelines.html", {"pipelines": found})


@require_GET
@login_required
def pipeline(request: HttpRequest, name: str) -> HttpResponse:
    """Show a pipeline, its latest runs and the button that starts one."""
    found = get_object_or_404(Pipeline.visible_to(request.user), name=name)
    return render(
        request,
        "portal/pipeline.html",
        {"pipeline": found, "runs": found.runs.select_related("triggered_by")[:20]},
    )


@require_POST
@login_required
def start_run(request: HttpRequest, name: str) -> HttpResponse:
    """Start a run, and show it."""
    found = get_object_or_404(Pipeline.visible_to(request.user), name=name, is_active=True)
    _must_operate(request, found.organization)
    run = services.trigger(found, trigger_type=PipelineRun.Trigger.MANUAL, user=request.user)
    return redirect("run", run_id=run.pk)


@require_GET
@login_required
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show a run with the deliveries of its tasks and their rows."""
    found = get_object_or_404(visible_runs(request), pk=run_id)
    return render(request, "portal/run.html", {"run": found, "tasks": found.task_runs.all()})


@require_POST
@login_required
def cancel_run(request: HttpRequest, run_id: str) -> HttpResponse:
    """Cancel a run, and show it."""
    found = get_object_or_404(visible_runs(request), pk=run_id)
    _must_operate(request, found.pipeline.organization)
    if not services.cancel(found, reason=f"Cancelled by {request.user.get_username()}."):
        messages.warning(request, "The run had already ended.")
    return redirect("run", run_id=found.pk)


@require_POST
@login_required
def run_again(request: HttpRequest, run_id: str) -> HttpResponse:
    """Start the next attempt of a run that ended."""
    found = get_object_or_404(visible_runs(request), pk=run_id)
    _must_operate(request, found.pipeline.organization)
    return redirect("run", run_id=services.run_again(found, user=request.user).pk)


def _must_operate(request: HttpRequest, organization: Organization) -> None:
    if not request.user.may_operate(organization):
        raise PermissionDenied
