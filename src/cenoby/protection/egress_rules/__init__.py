"""Rules on who may reach what outside, and how much they may send: read from a file, and followed while it runs."""
