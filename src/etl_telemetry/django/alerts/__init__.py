"""Alerts that Alertmanager sends: taken, stored once, logged, announced, asked for.

`urls` is the webhook, `signals` tells the application, `queries` answers what is active.
"""
