"""The application `accounts`."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who may do what: users, organizations, memberships, API tokens."""

    name = "apps.accounts"
    label = "accounts"
