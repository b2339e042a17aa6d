"""The demo site: how a host project uses the app, and the place to try it."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
