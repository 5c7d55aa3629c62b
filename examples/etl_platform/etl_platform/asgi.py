"""ASGI entry point, for instance `uvicorn etl_platform.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_platform.settings")
application = get_asgi_application()
