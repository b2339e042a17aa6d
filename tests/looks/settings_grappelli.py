"""The tests' site in the theme of django-grappelli."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, TEMPLATES

INSTALLED_APPS = ["grappelli", *INSTALLED_APPS]
TEMPLATES[0]["DIRS"] = []  # the demo's own header is made for the stock admin
ROOT_URLCONF = "tests.looks.urls_grappelli"
