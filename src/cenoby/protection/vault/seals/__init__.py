"""A vault that starts sealed: its master key lies in the database, closed with a passphrase or with people's shares."""
