"""Adapter: kernels built from source by kbuild."""
