"""Commitments: provisioned throughput, and anything else that an org has committed to use or spend."""
