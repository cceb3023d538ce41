"""Stored results in the formats of other tools. Text only: nothing here reads or writes files."""
