"""Small mails of a made-up list: patches, covers, replies."""

DIFF = """\
diff --git a/fs/one.c b/fs/one.c
index 1111111..2222222 100644
--- a/fs/one.c
+++ b/fs/one.c
@@ -1,2 +1,2 @@
-old {word}
+new {word}
 same
"""
BY = "From nobody Thu Jan  1 00:00:00 1970\n"


def diff(word: str = "line") -> str:
    return DIFF.replace("{word}", word)


def mail(
    subject: str,
    body: str,
    *,
    sender: str = "Ann Other <ann@example.org>",
    date: str = "Fri, 2 Jan 2026 03:04:05 +0100",
    headers: str = "",
) -> str:
    return f"{BY}From: {sender}\nDate: {date}\nSubject: {subject}\n{headers}\n{body}\n"


def patch(subject: str, word: str = "line", **more: str) -> str:
    body = (
        f"Why {word}.\n\nSigned-off-by: Ann Other <ann@example.org>\n---\n fs/one.c | 2 +-\n\n{diff(word)}-- \n2.39.5\n"
    )
    return mail(subject, body, **more)
