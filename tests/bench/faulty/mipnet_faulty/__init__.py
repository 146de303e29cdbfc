"""Misbehaviour."""
