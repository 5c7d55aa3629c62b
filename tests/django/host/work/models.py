# ruff: noqa: DJ008 - nobody looks at these
"""Pipelines, runs and task runs, called otherwise than our defaults.

Some have fields that are called like what we compute: they must not get into each other's way.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Team(models.Model):
    code = models.CharField(max_length=40, unique=True)
    label = models.CharField(max_length=40, default="")


class Member(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)


class Flow(models.Model):
    title = models.CharField(max_length=100)
    last_status = models.IntegerField(default=0)
    last_time = models.IntegerField(default=0)
    told_last = models.IntegerField(default=0)
    team = models.ForeignKey(Team, null=True, on_delete=models.CASCADE)


class Execution(models.Model):
    class State(models.TextChoices):
        QUEUED = "QUEUED"
        RUNNING = "RUNNING"
        DONE = "DONE"
        ERROR = "ERROR"
        TIMEOUT = "TIMEOUT"
        STOPPED = "STOPPED"
        VANISHED = "VANISHED"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    begun = models.DateTimeField(default=timezone.now)
    ended = models.DateTimeField(null=True, blank=True)
    origin = models.CharField(max_length=20, default="api")
    triggered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    try_no = models.PositiveSmallIntegerField(default=1)
    problem = models.TextField(blank=True)
    due = models.DateTimeField(null=True, blank=True)
    stop_asked = models.BooleanField(default=False)
    took = models.IntegerField(default=0)
    place = models.IntegerField(default=0)
    number = models.IntegerField(default=0)
    bucket = models.IntegerField(default=0)
    median = models.IntegerField(default=0)
    to_median = models.IntegerField(default=0)
    told_status = models.IntegerField(default=0)


class Job(models.Model):
    execution = models.ForeignKey(Execution, null=True, on_delete=models.CASCADE)
    stats = models.JSONField(default=dict, null=True)
    timed = models.IntegerField(default=0)
    number = models.IntegerField(default=0)
    bucket = models.IntegerField(default=0)
    place = models.IntegerField(default=0)


class Source(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    label = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
