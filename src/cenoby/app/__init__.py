"""The composition root: reads the settings, builds every part, and injects the ports. Only `cli` imports it."""
