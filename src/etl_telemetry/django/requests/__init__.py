"""Requests: one span and one measurement each, whatever becomes of them."""
