# Warnings and errors of the functions are kept where they can be queried, longer than the log's 30 days.

resource "google_bigquery_dataset" "logs" {
  #checkov:skip=CKV_GCP_81: Google's keys encrypt it; a key of one's own would make every part depend on KMS

  dataset_id                      = "convergence_logs"
  description                     = "Warnings and errors of the functions."
  location                        = var.locations.bigquery
  default_partition_expiration_ms = 180 * 86400000
  delete_contents_on_destroy      = !var.protect
  labels                          = local.labels

  depends_on = [google_project_service.api]
}

resource "google_logging_project_sink" "warnings" {
  name                   = "convergence-warnings"
  destination            = "bigquery.googleapis.com/projects/${var.project}/datasets/${google_bigquery_dataset.logs.dataset_id}"
  filter                 = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^convergence-\" AND severity>=WARNING"
  unique_writer_identity = true

  bigquery_options {
    use_partitioned_tables = true
  }
}

resource "google_bigquery_dataset_iam_member" "sink" {
  dataset_id = google_bigquery_dataset.logs.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_logging_project_sink.warnings.writer_identity
}
