"""Kernels of a git history, built where they are needed."""
