"""Tamper evidence: the Merkle log over all node chains, its signed checkpoints, and what proves it to outsiders."""
