"""What CloudWatch of AWS counts of Bedrock."""
