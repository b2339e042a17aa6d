"""Careless changes, one at a time, each of which some test must notice."""
