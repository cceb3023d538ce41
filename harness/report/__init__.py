"""Stored results to text, HTML and JSON."""
