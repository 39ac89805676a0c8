# One account for each function, with what its function.yaml asks for under `access` and nothing else.

locals {
  # What each word grants on the whole project; docs/google-cloud.md has the same table.
  project_roles = {
    firestore = ["roles/datastore.user"]
    warehouse = ["roles/bigquery.jobUser", "convergenceWarehouse"]
    setup     = ["convergenceSetup"]
  }

  # The code's list of permissions (adapters/gcp/roles.py): what its calls of BigQuery need, and no more.
  own_roles = { for name, _ in local.declared.roles : name => "projects/${var.project}/roles/${name}" }

  with = { for word in ["publish", "credentials", "logs"] : word => toset([
    for name, function in local.functions : name if contains(function.access, word)
  ]) }

  function_roles = merge([
    for name, function in local.functions : {
      for role in flatten([for word in function.access : lookup(local.project_roles, word, [])]) :
      "${name} ${role}" => { function = name, role = role }
    }
  ]...)

  # Ticks come from Cloud Scheduler alone.
  publications = {
    for pair in setproduct(local.with["publish"], setsubtract(local.topics, ["tick"])) :
    "${pair[0]} ${pair[1]}" => { function = pair[0], topic = pair[1] }
  }

  build_roles = ["roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer"]
}

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = local.services[each.key]
  display_name = "Convergence: the function ${each.key}"
}

resource "google_service_account" "push" {
  account_id   = "convergence-push"
  display_name = "Convergence: signs Pub/Sub's pushes, and may call the functions"
}

resource "google_service_account" "build" {
  account_id   = "convergence-build"
  display_name = "Convergence: builds the functions' images"
}

resource "google_project_iam_custom_role" "own" {
  for_each = local.declared.roles

  role_id     = each.key
  title       = "Convergence: ${lower(trimprefix(each.key, "convergence"))}"
  permissions = each.value
}

resource "google_project_iam_member" "function" {
  for_each = local.function_roles

  project = var.project
  role    = lookup(local.own_roles, each.value.role, each.value.role)
  member  = google_service_account.function[each.value.function].member

  depends_on = [google_project_iam_custom_role.own]
}

resource "google_project_iam_member" "build" {
  for_each = toset(local.build_roles)

  project = var.project
  role    = each.key
  member  = google_service_account.build.member
}

resource "google_pubsub_topic_iam_member" "function" {
  for_each = local.publications

  topic  = google_pubsub_topic.topic[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.function[each.value.function].member
}

resource "google_kms_crypto_key_iam_member" "function" {
  for_each = local.with["credentials"]

  crypto_key_id = google_kms_crypto_key.credentials.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = google_service_account.function[each.key].member
}

resource "google_bigquery_dataset_iam_member" "logs" {
  for_each = local.with["logs"]

  dataset_id = google_bigquery_dataset.shared["organizations"].dataset_id
  role       = local.own_roles["convergenceLogs"]
  member     = google_service_account.function[each.key].member

  depends_on = [google_project_iam_custom_role.own]
}
