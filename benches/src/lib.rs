//! Benchmarks of Liveset against named baselines.
