"""How things last: one database (SQLite or PostgreSQL) with group commit, its migrations, and the journal in it."""
