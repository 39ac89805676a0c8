# Topics, push subscriptions and dead letters, as the functions' triggers say.

locals {
  triggers = merge([
    for name, function in local.functions : {
      for trigger in function.triggers : "${name}-${trigger.topic}" => merge(trigger, { function = name })
    }
  ]...)

  topics = toset([for trigger in local.triggers : trigger.topic])

  forwarding = { for name, trigger in local.triggers : name => trigger if can(trigger.dead_letter_topic) }

  pubsub_agent = "serviceAccount:service-${local.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "topic" {
  #checkov:skip=CKV_GCP_83: messages carry identifiers, not data or secrets

  for_each = local.topics

  name   = each.key
  labels = local.labels

  message_retention_duration = "604800s" # so that a lost consumer can be given seven days again (seek)

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "push" {
  for_each = local.triggers

  name                       = each.key
  topic                      = google_pubsub_topic.topic[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_s
  message_retention_duration = "604800s"
  labels                     = local.labels

  expiration_policy {
    ttl = "" # never; the default is 31 days without a delivery
  }

  push_config {
    push_endpoint = "${local.urls[each.value.function]}/push/${each.value.topic}"

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.urls[each.value.function]
    }
  }

  retry_policy {
    minimum_backoff = "${each.value.backoff_min_s}s"
    maximum_backoff = "${each.value.backoff_max_s}s"
  }

  dynamic "dead_letter_policy" {
    for_each = can(each.value.dead_letter_topic) ? [each.value] : []

    content {
      dead_letter_topic     = google_pubsub_topic.topic[dead_letter_policy.value.dead_letter_topic].id
      max_delivery_attempts = try(dead_letter_policy.value.deliveries_max, 100)
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.push]
}

# Pub/Sub's own account forwards dead letters and signs tokens. Without these rights it does neither, and says nothing.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = toset([for trigger in local.forwarding : trigger.dead_letter_topic])

  topic  = google_pubsub_topic.topic[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = local.forwarding

  subscription = google_pubsub_subscription.push[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
