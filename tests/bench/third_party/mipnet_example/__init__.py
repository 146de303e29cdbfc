"""Additions to mipnet from outside."""
