"""What Cost Management's query API of Azure answers, page by page, and as rows of a bill."""
