"""Decisions, metrics and displays."""
