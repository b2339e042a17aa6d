"""How the pages become a site: `make docs`. Sphinx reads the repository's root, so that links hold here and there alike."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

import altegio_loyalty  # noqa: E402  (needs the path above)

project = "altegio_loyalty"
author = copyright = "altegio_loyalty contributors"  # noqa: A001
version = release = altegio_loyalty.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "docs/**.pml"]
html_theme = "furo"
html_title = f"altegio_loyalty {version}"
myst_heading_anchors = 3
default_role = "code"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
