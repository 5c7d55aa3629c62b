"""Where data comes from: files, SQL databases, HTTP APIs."""
