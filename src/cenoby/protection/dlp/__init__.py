"""Data that must not leave, or not come in: secrets and personal data, how they are found, and what is done then."""
