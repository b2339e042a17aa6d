"""Mirrors the modules of the app. `make test` runs everything; `python -m pytest` a part."""
