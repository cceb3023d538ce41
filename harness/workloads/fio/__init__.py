"""fio: jobs rendered from templates, their checks, and fio's report."""
