"""What must never be found in a document, a message or an event."""

SECRET = "sk-simulated-plaintext-0123456789"  # keys that are made in a world begin with it
