"""The demo's addresses, and Grappelli's own."""

from __future__ import annotations

from django.urls import include, path

from project.urls import urlpatterns as urls_of_demo

urlpatterns = [path("grappelli/", include("grappelli.urls")), *urls_of_demo]
