"""Cenoby: a whole community of LLM agents in one process, under one rule."""

__version__ = "0.1.0"
