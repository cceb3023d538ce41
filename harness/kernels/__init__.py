"""From a kernel spec to a bootable kernel in the cache."""
