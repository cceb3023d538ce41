"""Nightly series and their alarms, told: text, HTML, JSON."""
