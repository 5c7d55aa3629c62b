"""A look at the warehouse. Pipelines fill it, so nothing can be changed here."""

from django.contrib import admin

from apps.warehouse.models import DelayLine, Flight, Observation, Plane, QuarantinedFlight, Route


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows can be looked at."""

    show_full_result_count = False

    def has_add_permission(self, request: object) -> bool:
        """Refuse: pipelines add rows."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        """Refuse: pipelines change rows."""
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        """Refuse: pipelines replace rows."""
        return False


@admin.register(Flight)
class FlightAdmin(ReadOnlyAdmin):
    """Flown flights."""

    list_display = ("carrier", "number", "origin", "dest", "day", "arr_delay")
    list_filter = ("carrier", "origin")


@admin.register(QuarantinedFlight)
class QuarantinedFlightAdmin(ReadOnlyAdmin):
    """Skipped and rejected flights."""

    list_display = ("carrier", "number", "origin", "dest", "day", "reason")
    list_filter = ("reason", "carrier", "origin")


@admin.register(DelayLine)
class DelayLineAdmin(ReadOnlyAdmin):
    """The carrier delay report."""

    list_display = ("carrier", "month", "origin", "scheduled", "late", "mean_delay")
    list_filter = ("carrier", "origin")


admin.site.register((Observation, Route, Plane), ReadOnlyAdmin)
