"""Google Cloud: the billing export."""
