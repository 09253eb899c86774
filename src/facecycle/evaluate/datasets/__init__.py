"""Readers for the published layouts of the benchmarks."""
