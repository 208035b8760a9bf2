"""Measures the scheduler on public traces and on mixes made from seeds."""
