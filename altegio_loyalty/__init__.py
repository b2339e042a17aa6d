"""Altegio loyalty for Django: points and promotions on a visit, each taken exactly once or truthfully reported as not."""

__version__ = "0.1.0"
