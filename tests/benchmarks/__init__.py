"""Measurements, not tests: ``python -m tests.benchmarks`` takes all and writes docs/benchmarks.md; pytest takes none."""
