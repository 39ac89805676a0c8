"""The answers of Azure Cost Management's query API, page by page, and as rows of a bill."""
