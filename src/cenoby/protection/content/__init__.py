"""The content policy: which model may see which data, and what prompts and answers may hold."""
