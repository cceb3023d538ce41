"""Stored results to text, HTML and JSON.

All three are pure functions of a run, its decision (None while it is open), its trials and the catalogue of metrics.
"""

from harness.report.document import json_schema, to_json
from harness.report.page import ATTACHMENTS, to_html
from harness.report.text import summary
from harness.report.wording import headline

__all__ = ["ATTACHMENTS", "headline", "json_schema", "summary", "to_html", "to_json"]
