"""Experiments: networks, questions and results side by side."""
