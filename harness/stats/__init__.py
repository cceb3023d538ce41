"""Pure statistics: comparisons of boots and sequential decisions. No I/O."""
