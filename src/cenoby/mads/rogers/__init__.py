"""Rogers keeps the conversations: participants, @mentions, #topics, an append-only ledger, live feeds."""
