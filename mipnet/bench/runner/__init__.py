"""Carrying out a plan: tasks in supervised processes, on one machine or many."""
