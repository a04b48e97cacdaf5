"""Orrery changes your ZeroTier roots without losing a node."""

__version__ = "0.1.0"
