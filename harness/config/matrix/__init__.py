"""Matrix files: many experiments in one file, and which of them are measured."""

from harness.config.matrix.cells import MatrixCell
from harness.config.matrix.file import MatrixFile, load_matrix
from harness.config.matrix.gate import GATE_KEYS
from harness.config.matrix.selection import parse_shard, select, shard_of
from harness.config.matrix.series import over_series

__all__ = [
    "GATE_KEYS",
    "MatrixCell",
    "MatrixFile",
    "load_matrix",
    "over_series",
    "parse_shard",
    "select",
    "shard_of",
]
