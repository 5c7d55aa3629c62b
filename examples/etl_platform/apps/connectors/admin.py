"""Administration of connectors. Credentials can be entered, but never read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin

from apps.connectors.models import Connector


class ConnectorForm(forms.ModelForm):
    """Shows `********` for each credential; what is left so stays as it was."""

    entered_credentials = forms.JSONField(
        label="Credentials", required=False, help_text="Leave ******** to keep a value."
    )

    class Meta:
        model = Connector
        fields = ("organization", "name", "kind", "options", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["entered_credentials"].initial = self.instance.masked_credentials()

    def save(self, commit: bool = True) -> Connector:
        """Store the credentials that were really entered."""
        self.instance.take_credentials(self.cleaned_data["entered_credentials"] or {})
        return super().save(commit)


@admin.register(Connector)
class ConnectorAdmin(admin.ModelAdmin):
    """Connectors of all organizations."""

    form = ConnectorForm
    list_display = ("name", "kind", "organization", "is_active", "updated_at")
    list_filter = ("kind", "organization")
    search_fields = ("name",)
