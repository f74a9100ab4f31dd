"""Measurements, not tests: ``python -m tests.benchmarks`` takes all, writes docs/benchmarks.md; pytest takes none."""
