"""Real servers for the tests: found, or built from pinned sources, and kept in the user's cache.

Standard library only: `PYTHONPATH=tests python -m support.engines` runs before anything is
installed. `nox -s engines` is the same.
"""

from support.engines.locate import locate
from support.engines.recipe import EngineError, EngineMissing
from support.engines.toolchain import java

__all__ = ["EngineError", "EngineMissing", "java", "locate"]
