"""Google Cloud: tokens of service accounts, the billing export."""
