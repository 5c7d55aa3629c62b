"""A Django site that does everything a request can do.

`python -m support.django_site WSGI` (or ASGI) plays every scenario through Django's
real handlers, and prints what each one left, as JSON.
"""
