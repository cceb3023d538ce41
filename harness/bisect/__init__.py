"""Pure search for edges in an ordered history of kernels. No I/O."""
