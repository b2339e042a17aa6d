"""What the processes of a site tell each other: the requests that they made, and what holds the work up."""

import re

from django.db import models


class RequestBudget(models.Model):
    """The requests of the last minute that all processes of the site made to one host; see `throttle`."""

    host = models.CharField(max_length=200, unique=True)
    version = models.PositiveBigIntegerField(default=0)
    #: Milliseconds since the epoch, oldest first, separated by commas; behind each, what the request was for.
    sent_ms = models.TextField(default="", blank=True)
    #: Since when and until when Altegio's wish holds every request back.
    blocked_at = models.DateTimeField(null=True, blank=True)
    blocked_until = models.DateTimeField(null=True, blank=True)
    #: How many calls in a row got no answer of the platform's own, and since when; see `watch`.
    unanswered_count = models.PositiveIntegerField(default=0)
    unanswered_since = models.DateTimeField(null=True, blank=True)
    #: Until when one sweep is the only one that waits for turns.
    led_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.host

    def bookings(self) -> list[tuple[int, str]]:
        """The moment of each request, in milliseconds, and its mark."""
        return [(int(moment), mark) for moment, mark in re.findall(r"(\d+)([^,]*)", self.sent_ms)]


class WatchEntry(models.Model):
    """What `watch` keeps: that a sweep ran, or what holds the work up, from its beginning to its end."""

    code = models.CharField(max_length=32)
    location = models.ForeignKey("altegio_loyalty.Location", models.CASCADE, null=True, related_name="+")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    said = models.CharField(max_length=300, default="")
    #: Code and location of what lasts, so that it begins once; NULL, of which there can be many, after.
    open_key = models.CharField(max_length=64, unique=True, null=True, blank=True)
    mail_tried_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.code} {self.began_at}"
