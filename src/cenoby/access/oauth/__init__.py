"""The gateway as an OAuth 2.1 resource server: tokens of a provider, its keys, what they claim."""
