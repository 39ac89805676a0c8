"""What Cost Explorer of AWS answers, page by page, and as rows of a bill."""
