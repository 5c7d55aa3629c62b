"""Where data goes: the tables that the pipelines fill."""
