"""What guards a colony: input sanitising, redaction, guarded egress, and the secrets vault."""
