"""Ids, clock, errors, codec, envelope and settings: what every room builds on, and no I/O of its own."""
