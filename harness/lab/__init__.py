"""The experiments of one host, for programs: boot, compare, search, classify, report. Knows no command line."""
