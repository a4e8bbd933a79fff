"""Ids, clock, errors, codec, envelope and settings: what every package builds on, and no I/O of its own."""
