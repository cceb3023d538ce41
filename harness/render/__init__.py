"""Jinja2 templates: domain XML, fio jobs, guest scripts, HTML; the only user of jinja2."""
