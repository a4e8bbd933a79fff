"""Language models behind OpenAI-compatible URLs, with a price that is bounded before a call and known after it."""
