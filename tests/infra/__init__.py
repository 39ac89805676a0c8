"""Is infra/ right? Terraform's own checks run against a stand-in for Google's provider."""
