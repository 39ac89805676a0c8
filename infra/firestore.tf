# The state. Indexes come from the code: `python -m infra.declared` writes declared.json. No field has Firestore's TTL:
# the hourly sweep removes what has expired, a run's documents before the run (ADR 25).

locals {
  declared = jsondecode(file("${path.module}/declared.json"))

  indexes = { for index in local.declared.firestore.indexes :
    join(" ", concat([index.collectionGroup], [
      for field in index.fields : "${field.fieldPath}:${try(field.order, field.arrayConfig)}"
    ])) => index
  }

  overrides = { for each in local.declared.firestore.fieldOverrides : "${each.collectionGroup} ${each.fieldPath}" => each }
}

resource "google_firestore_database" "state" {
  name                              = "(default)"
  location_id                       = var.locations.firestore
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  point_in_time_recovery_enablement = var.backups.point_in_time ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = var.protect ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.protect ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.api]
}

resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.state.name
  retention = "${var.backups.keep_days * 86400}s"

  daily_recurrence {}
}

resource "google_firestore_index" "index" {
  for_each = local.indexes

  database    = google_firestore_database.state.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path   = fields.value.fieldPath
      order        = try(fields.value.order, null)
      array_config = try(fields.value.arrayConfig, null)
    }
  }
}

resource "google_firestore_field" "field" {
  for_each = local.overrides

  database   = google_firestore_database.state.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes

      content {
        order       = indexes.value.order
        query_scope = indexes.value.queryScope
      }
    }
  }
}
