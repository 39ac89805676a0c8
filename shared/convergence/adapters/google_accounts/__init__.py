"""What the adapters of `Accounts` share: checks of keys and addresses, and tokens."""
