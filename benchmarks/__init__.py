"""Measurements of skhimatch. The package imports nothing from here."""
