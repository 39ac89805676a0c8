"""Convergence: pipelines as config, steps as serverless functions."""
