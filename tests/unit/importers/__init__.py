"""Imports, part by part; what becomes of whole exports is in tests/imports/."""
