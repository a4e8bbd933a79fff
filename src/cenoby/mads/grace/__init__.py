"""Grace: what an operator sees and decides, as tools."""

from cenoby.mads.grace.grace import Grace
from cenoby.mads.grace.node_tools import Nodes
from cenoby.mads.grace.views import About

__all__ = ["About", "Grace", "Nodes"]
