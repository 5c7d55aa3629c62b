"""The error that ends a request."""

from __future__ import annotations


class HttpError(Exception):
    """End a request with an error answer; never leaves the viewer."""

    def __init__(self, code: int, message: str, **headers: str) -> None:
        """Remember the answer; `Retry_After="1"` becomes the header `Retry-After: 1`."""
        super().__init__(message)
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
