"""Deliveries of Pub/Sub over HTTP: the envelope, the gate, the answer."""
