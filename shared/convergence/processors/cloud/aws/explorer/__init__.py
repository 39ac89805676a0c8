"""The answers of AWS Cost Explorer, page by page, and as rows of a bill."""
