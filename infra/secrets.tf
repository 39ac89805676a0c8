# Secrets without their values: those are added by hand (docs/deploy.md), so that none is in the state.

locals {
  secret_names = merge(
    { CONVERGENCE_ROOT_KEY = "convergence-root-key" },
    var.smtp_password ? { SMTP_PASSWORD = "convergence-smtp-password" } : {},
  )

  secrets_of = { for name, function in local.functions : name => [
    for secret in try(function.secrets, []) : secret if contains(keys(local.secret_names), secret)
  ] }

  secret_readers = merge([
    for name, secrets in local.secrets_of : { for secret in secrets : "${name} ${secret}" => { function = name, secret = secret } }
  ]...)
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secret_names

  secret_id = each.value
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "function" {
  for_each = local.secret_readers

  secret_id = google_secret_manager_secret.secret[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
