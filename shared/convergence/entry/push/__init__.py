"""Deliveries of Pub/Sub over HTTP: the envelope, the concurrency limit, the answer."""
