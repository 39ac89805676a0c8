"""Credentials of providers."""
