"""Puts this folder on the import path: tests share tests/factories.py."""
