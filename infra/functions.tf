# The functions: everything about one comes from functions/{name}/function.yaml.

locals {
  files = fileset("${path.module}/../functions", "*/function.yaml")

  functions = { for file in local.files : dirname(file) => yamldecode(file("${path.module}/../functions/${file}")) }

  # Names of services have hyphens. The address is known before the function exists, so that a subscription and the
  # audience that the function checks can both be given it.
  services = { for name, _ in local.functions : name => replace("convergence-${name}", "_", "-") }
  urls     = { for name, service in local.services : name => "https://${service}-${local.number}.${var.region}.run.app" }

  # What var.settings may say otherwise. docs/scale.md has the reason for the cap.
  usual = { CONVERGENCE_RUNS_MAX = "120" }

  settings = merge(local.usual, var.settings, {
    BIGQUERY_LOCATION                = var.locations.bigquery
    CONVERGENCE_PUSH_SERVICE_ACCOUNT = google_service_account.push.email
    ENVIRONMENT                      = var.environment
    GCP_PROJECT_ID                   = var.project
    KMS_KEY_NAME                     = google_kms_crypto_key.credentials.id
  })
}

resource "google_artifact_registry_repository" "functions" {
  #checkov:skip=CKV_GCP_84: images hold no data, and Google's keys encrypt them

  repository_id = "convergence"
  description   = "Images of the functions, made by Cloud Build out of their packages."
  location      = var.region
  format        = "DOCKER"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_cloudfunctions2_function" "function" {
  #checkov:skip=CKV_GCP_124: pushes of Pub/Sub are not internal traffic; IAM and the token's check keep others out

  for_each = local.functions

  name     = local.services[each.key]
  location = var.region
  labels   = local.labels

  build_config {
    runtime           = "python311"
    entry_point       = "main"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.functions.id

    # The lock is complete, so pip installs it without resolving.
    environment_variables = { PIP_NO_DEPS = "1", PIP_REQUIRE_HASHES = "1" }

    source {
      storage_source {
        bucket = var.releases_bucket
        object = "releases/${var.release}/${each.key}.zip"
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    available_memory                 = "${each.value.memory_mib}Mi"
    available_cpu                    = tostring(each.value.cpu)
    timeout_seconds                  = each.value.timeout_s
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = try(each.value.min_instances, 0)
    max_instance_count               = each.value.max_instances
    ingress_settings                 = "ALLOW_ALL" # Pub/Sub's pushes are not internal traffic; callers are checked
    all_traffic_on_latest_revision   = true

    environment_variables = merge(local.settings, { CONVERGENCE_PUSH_AUDIENCE = local.urls[each.key] })

    dynamic "secret_environment_variables" {
      for_each = local.secrets_of[each.key]

      content {
        key        = secret_environment_variables.value
        project_id = var.project
        secret     = google_secret_manager_secret.secret[secret_environment_variables.value].secret_id
        version    = "latest"
      }
    }
  }

  depends_on = [
    google_project_iam_member.build,
    google_project_iam_member.function,
    google_secret_manager_secret_iam_member.function,
    google_kms_crypto_key_iam_member.function,
    google_project_service.api,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = google_cloudfunctions2_function.function

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

# A function with `http: public` answers everyone; its callers send an API key.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = { for name, function in local.functions : name => function if try(function.http, "private") == "public" }

  name     = google_cloudfunctions2_function.function[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}
