"""What an agent may use: identities and tokens, action types, roles, limits, budgets, approvals."""
