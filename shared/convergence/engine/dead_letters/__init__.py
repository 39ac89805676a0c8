"""Dead letters: find them, replay, send or discard them, one by one or by a filter."""
