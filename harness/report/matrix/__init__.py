"""A matrix told as text, mail, JSON and pages."""
