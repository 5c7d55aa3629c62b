"""Sphinx configuration: furo, MyST, and reference pages made from the code."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "etl-telemetry"
author = "etl-telemetry maintainers"
copyright = author
version = release = installed_version("etl-telemetry")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "tables"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
nitpicky = False

autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "etl-telemetry"
html_show_sourcelink = False
pygments_style = "friendly"
