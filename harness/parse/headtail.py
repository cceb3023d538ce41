"""The beginning and the end of a text of any length: what is kept of a stream that may flood."""


class HeadTail:
    """Bytes as they come; of more than fits, what stood in the middle is left out, and said to be."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        """Keep at most so many bytes of the beginning and of the end (in memory, up to twice the end)."""
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Append `data`."""
        self._total += len(data)
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        # What is longer than the tail pushes all of it out.
        self._tail += data[max(room, len(data) - 2 * self._tail_bytes) :]
        # Moved when it has doubled, and not with each piece: the cost of a byte stays the same.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: len(self._tail) - self._tail_bytes]

    @property
    def cut_bytes(self) -> int:
        """How many bytes are left out."""
        return max(self._total - self._head_bytes - self._tail_bytes, 0)

    def content(self) -> bytes:
        """All that is kept, with a line where something was left out."""
        if not self.cut_bytes:
            return bytes(self._head + self._tail)
        said = f"\n[kab: {self.cut_bytes} bytes left out here]\n".encode()
        return bytes(self._head) + said + bytes(self._tail[len(self._tail) - self._tail_bytes :])

    def text(self) -> str:
        """`content`, decoded; what is not UTF-8 is replaced."""
        return self.content().decode(errors="replace")


def shortened(data: bytes, limit: int) -> bytes:
    """`data`, or its beginning and end: at most `limit` bytes and the line that says so."""
    kept = HeadTail(limit // 2, limit - limit // 2)
    kept.feed(data)
    return kept.content()
