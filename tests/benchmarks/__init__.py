"""Benchmarks, not tests: `python -m tests.benchmarks` prints one table."""
