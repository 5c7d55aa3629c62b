"""Where the product's configurations are."""

from support.pages import REPOSITORY

PRODUCT = REPOSITORY / "collector"
"""The configurations that a team runs; tests start engines with these very files."""
