"""Turing: secrets, who may use them for what, and until when."""

from cenoby.mads.turing.turing import Turing

__all__ = ["Turing"]
