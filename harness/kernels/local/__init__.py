"""Kernels from the disk of this host: packages, an image and its modules, a built tree, the running kernel."""
