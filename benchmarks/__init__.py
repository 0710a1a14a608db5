"""Figures beside native xrootd, in the same run. Run `python -m benchmarks --help`."""
