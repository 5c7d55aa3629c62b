"""The tables that the pipelines fill."""

from __future__ import annotations

from django.db import models


class Flight(models.Model):
    """A flight that was flown and measured. Times in minutes, distance in miles."""

    carrier = models.CharField(max_length=2)
    number = models.CharField(max_length=5)
    tailnum = models.CharField(max_length=8, blank=True)
    origin = models.CharField(max_length=3)
    dest = models.CharField(max_length=3)
    day = models.DateField()
    hour = models.SmallIntegerField()
    scheduled = models.SmallIntegerField(help_text="Local time as hhmm, for instance 1745")
    dep_delay = models.SmallIntegerField()
    arr_delay = models.SmallIntegerField()
    air_time = models.SmallIntegerField()
    distance = models.SmallIntegerField()

    class Meta:
        indexes = (models.Index(fields=("carrier", "origin", "day"), name="flight_partition"),)

    def __str__(self) -> str:
        return f"{self.carrier}{self.number} {self.origin}-{self.dest} {self.day}"


class QuarantinedFlight(models.Model):
    """A flight that the load skipped or rejected, kept with the reason."""

    carrier = models.CharField(max_length=2)
    number = models.CharField(max_length=5)
    tailnum = models.CharField(max_length=8, blank=True)
    origin = models.CharField(max_length=3)
    dest = models.CharField(max_length=3)
    day = models.DateField()
    hour = models.SmallIntegerField()
    reason = models.CharField(max_length=32)

    class Meta:
        indexes = (models.Index(fields=("carrier", "origin", "day"), name="quarantine_partition"),)

    def __str__(self) -> str:
        return f"{self.carrier}{self.number} {self.origin}-{self.dest} {self.day}: {self.reason}"


class Observation(models.Model):
    """The weather of one hour at an airport, in the units of the source (°F, mph, inches)."""

    origin = models.CharField(max_length=3)
    day = models.DateField()
    hour = models.SmallIntegerField()
    temperature = models.FloatField(null=True)
    wind_speed = models.FloatField(null=True)
    precipitation = models.FloatField(null=True)
    pressure = models.FloatField(null=True)
    visibility = models.FloatField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("origin", "day", "hour"), name="one_observation"),
        )

    def __str__(self) -> str:
        return f"{self.origin} {self.day} {self.hour}:00"


class Route(models.Model):
    """Where a carrier flies to, with the airport as the reference API knows it."""

    carrier = models.CharField(max_length=2)
    origin = models.CharField(max_length=3)
    dest = models.CharField(max_length=3)
    flights = models.IntegerField()
    airport = models.CharField(max_length=100)
    latitude = models.FloatField()
    longitude = models.FloatField()
    time_zone = models.CharField(max_length=50)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("carrier", "origin", "dest"), name="one_route"),
        )

    def __str__(self) -> str:
        return f"{self.carrier} {self.origin}-{self.dest}"


class DelayLine(models.Model):
    """A line of the carrier delay report: a carrier's month at one airport. In minutes."""

    carrier = models.CharField(max_length=2)
    month = models.SmallIntegerField()
    origin = models.CharField(max_length=3)
    scheduled = models.IntegerField()
    cancelled = models.IntegerField()
    without_arrival = models.IntegerField()
    late = models.IntegerField(help_text="Arrived 15 minutes late or more")
    mean_delay = models.FloatField(null=True)
    mean_delay_old_planes = models.FloatField(null=True)
    mean_delay_in_rain = models.FloatField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("carrier", "month", "origin"), name="one_delay_line"),
        )

    def __str__(self) -> str:
        return f"{self.carrier} 2013-{self.month:02} {self.origin}"


class Plane(models.Model):
    """A plane of a carrier's fleet, as the vendor of the fleet file delivers it."""

    carrier = models.CharField(max_length=2)
    tailnum = models.CharField(max_length=8)
    manufacturer = models.CharField(max_length=100)
    model = models.CharField(max_length=50)
    seats = models.IntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("carrier", "tailnum"), name="one_plane"),)

    def __str__(self) -> str:
        return self.tailnum
