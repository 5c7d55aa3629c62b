"""Users, organizations (tenants), memberships and API tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models


class Organization(models.Model):
    """A tenant: here one of the 16 carriers."""

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("code",)

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class User(AbstractUser):
    """A person who signs in."""

    email = models.EmailField(blank=True)
    organizations = models.ManyToManyField(
        Organization, through="Membership", related_name="members"
    )

    def visible_organizations(self) -> models.QuerySet[Organization]:
        """Return the organizations whose pipelines the user may see."""
        if self.is_superuser:
            return Organization.objects.all()
        return Organization.objects.filter(membership__user=self, is_active=True)

    def may_operate(self, organization: Organization) -> bool:
        """Say whether the user may start and cancel runs of the organization."""
        if self.is_superuser:
            return True
        return Membership.objects.filter(
            user=self, organization=organization, role__in=Membership.OPERATING
        ).exists()


class Membership(models.Model):
    """What a user may do in an organization."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        OPERATOR = "operator", "Operator"
        ADMIN = "admin", "Administrator"

    OPERATING = (Role.OPERATOR, Role.ADMIN)

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "organization"), name="one_membership"),
        )

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.organization}"


class ApiToken(models.Model):
    """A program's key to the API. Only its digest is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @staticmethod
    def digest_of(key: str) -> str:
        """Return what is kept of a key: it is random, so one fast hash is enough."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def issue(cls, user: User, name: str, **fields: Any) -> str:
        """Create a token, or replace the one of this name, and return its key once."""
        key = secrets.token_urlsafe(32)
        cls.objects.update_or_create(
            user=user, name=name, defaults={"digest": cls.digest_of(key), **fields}
        )
        return key

    @classmethod
    def user_of(cls, key: str) -> User | None:
        """Return the active user whose key this is, or None."""
        token = cls.objects.select_related("user").filter(digest=cls.digest_of(key)).first()
        return token.user if token is not None and token.user.is_active else None
