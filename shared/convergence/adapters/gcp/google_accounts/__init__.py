"""Customers' Google accounts, through google-auth and google-cloud-bigquery."""
