"""The tests in `project` run in a process of their own, where Django has settings."""

collect_ignore = ["project"]
