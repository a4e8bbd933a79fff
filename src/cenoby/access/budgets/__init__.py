"""Money and tokens: reserved before a call, settled after it, from leased blocks."""
