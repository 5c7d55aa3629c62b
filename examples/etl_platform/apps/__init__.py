"""The platform's Django applications."""
