"""Webhooks: an org's events sent to its own servers (docs/webhooks.md)."""
