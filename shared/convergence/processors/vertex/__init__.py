"""Vertex AI: tokens from Cloud Monitoring, cost from the billing export."""
