"""What a process of a run does: make an artefact, or answer a question."""
