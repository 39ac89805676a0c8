"""Commitments: provisioned throughput, and what else an org has committed itself to use or to spend."""
