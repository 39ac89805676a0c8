"""Bedrock's metrics in AWS CloudWatch."""
