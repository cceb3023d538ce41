"""Every trial, in SQL."""
