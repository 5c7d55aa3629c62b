"""Administration of pipelines and schedules; a look at runs and deliveries."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.pipelines import services
from apps.pipelines.models import Pipeline, PipelineRun, Schedule, TaskRun
from apps.warehouse.admin import ReadOnlyAdmin


class ScheduleInline(admin.StackedInline):
    """When the pipeline runs."""

    model = Schedule
    extra = 0


@admin.register(Pipeline)
class PipelineAdmin(admin.ModelAdmin):
    """Pipelines of all organizations, with an action that starts runs."""

    list_display = ("name", "kind", "organization", "stage", "is_active", "updated_at")
    list_filter = ("kind", "stage", "organization")
    search_fields = ("name",)
    exclude = ("created_by",)
    inlines = (ScheduleInline,)
    actions = ("start_runs",)

    @admin.action(description="Start a run of the selected pipelines")
    def start_runs(self, request: HttpRequest, queryset: QuerySet[Pipeline]) -> None:
        """Start one run each."""
        for pipeline in queryset:
            services.trigger(pipeline, trigger_type=PipelineRun.Trigger.MANUAL, user=request.user)
        self.message_user(request, f"Started {queryset.count()} runs.", messages.SUCCESS)

    def save_model(
        self, request: HttpRequest, obj: Pipeline, form: forms.ModelForm, change: bool
    ) -> None:
        """Remember who created it."""
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)


class TaskRunInline(admin.TabularInline):
    """The deliveries of a run's tasks."""

    model = TaskRun
    extra = 0
    can_delete = False
    fields = readonly_fields = (
        "task_name", "attempt", "status", "started_at", "finished_at", "metrics", "error",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: workers add deliveries."""
        return False


@admin.register(PipelineRun)
class PipelineRunAdmin(ReadOnlyAdmin):
    """Runs with their deliveries, with an action that cancels them."""

    list_display = ("pipeline", "status", "trigger_type", "triggered_by", "started_at", "attempt")
    list_filter = ("status", "trigger_type", "pipeline__organization")
    list_select_related = ("pipeline", "triggered_by")
    inlines = (TaskRunInline,)
    actions = ("cancel_runs",)

    @admin.action(description="Cancel the selected runs")
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[PipelineRun]) -> None:
        """Cancel those that are still active."""
        reason = f"Cancelled by {request.user.get_username()}."
        cancelled = sum(services.cancel(run, reason=reason) for run in queryset)
        self.message_user(request, f"Cancelled {cancelled} runs.", messages.SUCCESS)


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    """Deliveries of tasks."""

    list_display = ("task_name", "pipeline_name", "status", "attempt", "worker", "started_at")
    list_filter = ("status", "task_type")
