"""What each page shows, as typed data made from the read models of the engine."""
