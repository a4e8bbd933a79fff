"""Versioned APIs between colonies: what one publishes, as a document, and whether it kept what it published."""
