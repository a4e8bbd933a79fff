"""Benchmarks: `./dev bench NAME [--json]`. Ratios against peers of the same run; absolute times mean little."""
