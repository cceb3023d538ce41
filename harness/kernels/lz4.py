"""LZ4's legacy frames, as the kernel's build wraps them, in pure Python (a second or two for a kernel, once)."""

import struct
from collections.abc import Iterator

LEGACY_MAGIC = 0x184C2102
# A legacy frame is cut into blocks that each decompress to at most this. (LZ4 frame format, "Legacy frame")
_BLOCK_BYTES = 8 * 1024 * 1024


def decompress_legacy(data: bytes) -> Iterator[bytes]:
    """The content of a legacy LZ4 frame, in pieces; what follows its last block is ignored. Raises ValueError."""
    if len(data) < 8 or struct.unpack_from("<I", data)[0] != LEGACY_MAGIC:
        raise ValueError("not a legacy LZ4 frame")
    position = 4
    while position + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, position)
        block = data[position + 4 : position + 4 + size]
        if not block and position > 4:
            # The kernel's build appends the size of the whole, which reads like the header of one more block.
            return
        if len(block) < size:
            raise ValueError("corrupt LZ4 frame: cut short")
        piece = decompress_block(block)
        yield piece
        position += 4 + size
        if len(piece) < _BLOCK_BYTES:
            return


def decompress_block(block: bytes) -> bytes:
    """The content of one LZ4 block. (LZ4 block format) Raises ValueError."""
    out = bytearray()
    position = 0
    end = len(block)
    try:
        while position < end:
            token = block[position]
            position += 1
            literals = token >> 4
            if literals == 15:
                literals, position = _extend(block, literals, position)
            out += block[position : position + literals]
            position += literals
            if position > end:
                raise ValueError("corrupt LZ4 block: cut short")
            if position >= end:
                break
            offset = block[position] | block[position + 1] << 8
            position += 2
            length = token & 15
            if length == 15:
                length, position = _extend(block, length, position)
            length += 4
            if len(out) + length > _BLOCK_BYTES:
                raise ValueError("corrupt LZ4 block: too long")
            start = len(out) - offset
            if offset == 0 or start < 0:
                raise ValueError("corrupt LZ4 block: match before its beginning")
            if offset >= length:
                out += out[start : start + length]
            else:
                # An overlapping match repeats its last `offset` bytes.
                pattern = bytes(out[start:])
                out += (pattern * (length // offset + 1))[:length]
    except IndexError as error:
        raise ValueError("corrupt LZ4 block: cut short") from error
    return bytes(out)


def _extend(block: bytes, length: int, position: int) -> tuple[int, int]:
    while True:
        byte = block[position]
        position += 1
        length += byte
        if byte != 255:
            return length, position
