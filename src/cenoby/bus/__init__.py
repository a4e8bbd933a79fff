"""How things travel: the `MessageBus` contract and its transports, chosen by a URL."""
