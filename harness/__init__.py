"""kab: which change made this workload slower, or faster, on which Linux kernel, and by how much?"""

__version__ = "0.1.0"
