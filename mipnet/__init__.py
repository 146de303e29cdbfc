"""mipnet."""
