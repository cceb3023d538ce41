"""Kernels of Debian: package lists, the kernels that packages make, and the changes that changelogs tell."""
