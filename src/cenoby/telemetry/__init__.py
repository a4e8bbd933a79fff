"""How the colony is seen: spans of every call, metrics, logs, and their export."""
