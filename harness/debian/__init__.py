"""Debian's archive, as kernels and guest images both need it: mirrors, keys, and APT with a root of its own."""
