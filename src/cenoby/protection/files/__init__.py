"""Files that come in or go out: what they are, whether they may pass, and what lies in them, seen in the sandbox."""
