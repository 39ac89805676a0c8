"""Settings of a deployment and of its functions."""
