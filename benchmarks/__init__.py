"""Measurements of skhimatch; nothing here is imported by the package."""
