"""The hosted agents that ship with Cenoby."""
