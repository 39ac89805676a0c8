"""The ports on Google Cloud: Firestore, Pub/Sub, KMS, BigQuery. Only this package imports google.* and grpc."""
