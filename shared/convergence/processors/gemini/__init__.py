"""Gemini API: quantities and cost, from the billing export of Google Cloud."""
