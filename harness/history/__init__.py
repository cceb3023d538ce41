"""Histories of kernels: one line of a git graph, what came between two versions, and which of it is suspect."""
