"""Security rules: what no call may carry, whoever makes it, and what no result may say to a model."""
