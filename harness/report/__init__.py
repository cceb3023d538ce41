"""Stored results in words and pictures, a room for each subject: `compare` (A/B runs) and `search`.

In each of them `text` is the summary on the screen, `html` the page, `json` the document for programs, `mail` (of a
search) the report for a mailing list; a page's template lies beside it. All are pure functions of what is stored. What
subjects share is here: sentences and figures (`wording`, `numbers`, `witness`), columns, axes, and the page's frame.
"""
