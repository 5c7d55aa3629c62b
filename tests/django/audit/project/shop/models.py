"""Models of the project: some are audited."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models


class Organization(models.Model):
    """A tenant."""

    code = models.SlugField(unique=True)


class Connector(models.Model):
    """Audited; its credentials are secret by name, its options by setting."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    name = models.CharField(max_length=50)
    credentials = models.JSONField(default=dict)
    options = models.JSONField(default=dict)


class Pipeline(models.Model):
    """Audited."""

    organization = models.ForeignKey(Organization, null=True, on_delete=models.CASCADE)
    connector = models.ForeignKey(Connector, null=True, on_delete=models.SET_NULL)
    name = models.CharField(max_length=50)
    priority = models.IntegerField(default=0)
    changed_at = models.DateTimeField(null=True)
    members = models.ManyToManyField(User, related_name="pipelines")


class Daily(Pipeline):
    """A proxy of an audited model."""

    class Meta:
        proxy = True


class Node(models.Model):
    """Audited, and has a child."""

    name = models.CharField(max_length=50)


class Leaf(Node):
    """Below an audited model."""

    color = models.CharField(max_length=50)


class Special(models.Model):
    """Audited, with a key of its own and a unique name."""

    key = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=50, unique=True)


class Note(models.Model):
    """Not audited."""

    text = models.CharField(max_length=50)
