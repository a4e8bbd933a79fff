"""How things last: one SQLite file with group commit, its migrations, and the journal in it."""
