"""Administration of users, organizations and tokens."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from apps.accounts.models import ApiToken, Membership, Organization, User


class MembershipInline(admin.TabularInline):
    """The memberships of a user or of an organization."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user", "organization")


@admin.register(User)
class PlatformUserAdmin(UserAdmin):
    """Users with their memberships."""

    inlines = (MembershipInline,)


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    """Organizations with their members."""

    list_display = ("code", "name", "is_active", "created_at")
    search_fields = ("code", "name")
    inlines = (MembershipInline,)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    """Tokens can be looked at and withdrawn here; `manage.py seed` issues one."""

    list_display = ("name", "user", "created_at")
    readonly_fields = ("name", "user", "created_at")

    def has_add_permission(self, request: object) -> bool:
        """Refuse: a key would have to be shown."""
        return False
