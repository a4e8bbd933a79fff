"""Marco reads the web: pages and documents, fetched through the egress guard and opened in the sandbox."""
