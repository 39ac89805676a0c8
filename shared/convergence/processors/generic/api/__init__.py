"""What `generic.api_extractor` is made of: calls, pages, records, rows, progress."""
