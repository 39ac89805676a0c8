# What must hold in every plan. `terraform test` in infra/, or `make infra-check`.

variables {
  project         = "test"
  environment     = "production"
  release         = "v1"
  releases_bucket = "test-terraform"
  smtp_password   = true

  settings = {
    CORS_ORIGINS = "https://app.example.com"
  }

  alerts = {
    emails = ["oncall@example.com"]
  }

  budget = {
    billing_account = "000000-000000-000000"
    amount          = 100
  }
}

run "plan" {
  command = plan

  assert {
    condition     = length(google_cloudfunctions2_function.function) == length(fileset("${path.module}/../functions", "*/function.yaml"))
    error_message = "Every folder of functions/ is deployed."
  }

  assert {
    condition = alltrue([
      for each in google_pubsub_subscription.push :
      each.push_config[0].oidc_token[0].audience != "" && startswith(each.push_config[0].push_endpoint, each.push_config[0].oidc_token[0].audience)
    ])
    error_message = "Every push is signed, for the function that it goes to."
  }

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.expiration_policy[0].ttl == ""])
    error_message = "No subscription expires when it is idle."
  }

  assert {
    condition     = alltrue([for name, _ in local.forwarding : contains(keys(google_pubsub_subscription_iam_member.dead_letters), name)])
    error_message = "Pub/Sub may take from every subscription that forwards dead letters."
  }

  assert {
    condition     = alltrue([for topic in local.dead_letter_topics : anytrue([for trigger in local.triggers : trigger.topic == topic])])
    error_message = "Every dead-letter topic has a subscription; without one its messages are lost."
  }

  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.public) == [for name, f in local.functions : name if try(f.http, "private") == "public"]
    error_message = "Only a function with `http: public` is open."
  }

  assert {
    condition     = alltrue([for topic in local.dead_letter_topics : contains(keys(google_monitoring_alert_policy.dead_letters), topic)])
    error_message = "Every dead-letter topic has an alert."
  }

  assert {
    condition     = length(google_billing_budget.monthly) == 1
    error_message = "A budget that is asked for is made."
  }

  assert {
    condition     = alltrue([for name, role in google_project_iam_custom_role.own : toset(role.permissions) == toset(local.declared.roles[name])])
    error_message = "A role of ours has the permissions that the code declares."
  }

  assert {
    condition = [
      for key, each in google_project_iam_member.function : key
      if contains([for name, role in google_project_iam_custom_role.own : local.own_roles[name] if contains(role.permissions, "bigquery.datasets.create")], each.role)
    ] == ["dispatcher convergenceSetup"]
    error_message = "Only the function that onboards orgs makes datasets."
  }

  assert {
    condition = alltrue([
      for each in concat(values(google_project_iam_member.function), values(google_bigquery_dataset_iam_member.logs)) :
      !contains(["roles/bigquery.dataEditor", "roles/bigquery.dataOwner", "roles/bigquery.admin", "roles/editor", "roles/owner"], each.role)
    ])
    error_message = "No function has a role of BigQuery that includes more than it needs."
  }

  assert {
    condition     = google_firestore_database.state.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The state cannot be deleted by an apply."
  }
}

run "an_environment_that_does_not_exist" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [var.environment]
}
