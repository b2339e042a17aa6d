"""The durable log of who has none of their own: a row for each thing to do."""

from __future__ import annotations

from django.db import models


class Job(models.Model):
    visit = models.PositiveBigIntegerField()
    status = models.CharField(max_length=16, default="pending")
    answer = models.TextField(default="")

    objects: models.Manager[Job] = models.Manager()

    class Meta:
        app_label = "measured"

    def __str__(self) -> str:
        return f"{self.visit}: {self.status}"
