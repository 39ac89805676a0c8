"""Orgs and what belongs to them: keys, quotas, credentials."""
