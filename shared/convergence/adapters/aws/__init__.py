"""AWS through boto3: keys, roles, and calls on threads."""
