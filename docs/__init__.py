"""Documentation; the generated part of it comes from `docs/generate.py`."""
