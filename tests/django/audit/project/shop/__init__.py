"""An application whose changes are audited."""
