"""`convergence webhooks`."""
