# Datasets that all orgs share, and the tables of the log. An org's own dataset is made when it is onboarded.

locals {
  datasets = {
    organizations       = { about = "Logs of all orgs, and stored procedures.", tables_live_h = null }
    convergence_ledger  = { about = "Which loads are committed.", tables_live_h = null }
    convergence_staging = { about = "Rows on their way into a table.", tables_live_h = 24 }
  }

  tables = { for table in local.declared.tables : table.name => table }
}

resource "google_bigquery_dataset" "shared" {
  #checkov:skip=CKV_GCP_81: Google's keys encrypt it; a key of one's own would make every part depend on KMS

  for_each = local.datasets

  dataset_id                  = each.key
  description                 = each.value.about
  location                    = var.locations.bigquery
  default_table_expiration_ms = each.value.tables_live_h == null ? null : each.value.tables_live_h * 3600000
  delete_contents_on_destroy  = !var.protect
  labels                      = local.labels

  depends_on = [google_project_service.api]
}

resource "google_bigquery_table" "log" {
  #checkov:skip=CKV_GCP_80: Google's keys encrypt it; a key of one's own would make every part depend on KMS

  for_each = local.tables

  dataset_id          = google_bigquery_dataset.shared["organizations"].dataset_id
  table_id            = each.key
  description         = each.value.description
  schema              = jsonencode(each.value.schema)
  clustering          = each.value.clustering
  deletion_protection = var.protect
  labels              = local.labels

  dynamic "time_partitioning" {
    for_each = each.value.partition_by == null ? [] : [each.value.partition_by]

    content {
      type          = "DAY"
      field         = time_partitioning.value
      expiration_ms = each.value.keep_days * 86400000
    }
  }

  lifecycle {
    # The functions add columns of a newer release themselves; another partitioning would replace the table (docs/bigquery.md).
    ignore_changes = [schema, time_partitioning[0].type, time_partitioning[0].field, clustering]
  }
}
