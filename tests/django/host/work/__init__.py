"""The host's application."""
