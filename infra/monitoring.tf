# Who is told what. Each policy names the page that says what to do.

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  runbook  = "What to do: docs/runbooks.md of the repository, under the alert's name."

  dead_letter_topics = toset([for trigger in local.forwarding : trigger.dead_letter_topic])

  # name → (filter, threshold, for how long, aligner)
  thresholds = {
    "Oldest unacknowledged message" = {
      filter   = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      above    = var.alerts.oldest_unacked_s
      duration = "300s"
      aligner  = "ALIGN_MAX"
    }
    "Function errors" = {
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.errors.name}\""
      above    = var.alerts.errors_per_5_min
      duration = "0s"
      aligner  = "ALIGN_DELTA"
    }
    "Failed runs" = {
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.failed_runs.name}\""
      above    = 0
      duration = "0s"
      aligner  = "ALIGN_DELTA"
    }
    "Late schedules or runs" = {
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.late.name}\""
      above    = 0
      duration = "0s"
      aligner  = "ALIGN_DELTA"
    }
    "Instances at their maximum" = {
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code = \"429\""
      above    = 0
      duration = "300s"
      aligner  = "ALIGN_DELTA"
    }
    "Quota exceeded" = {
      filter   = "resource.type = \"consumer_quota\" AND metric.type = \"serviceruntime.googleapis.com/quota/exceeded\""
      above    = 0
      duration = "0s"
      aligner  = "ALIGN_COUNT_TRUE"
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alerts.emails)

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_logging_metric" "errors" {
  name   = "convergence/errors"
  filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^convergence-\" AND severity>=ERROR"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_logging_metric" "failed_runs" {
  name   = "convergence/failed_runs"
  filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.services["notifier"]}\" AND (textPayload=~\"^run .* failed\" OR jsonPayload.message=~\"^run .* failed\")"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# What a tick finds to be more than ten minutes late: schedules, and runs that the reconciler looks at.
resource "google_logging_metric" "late" {
  name   = "convergence/late"
  filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.services["scheduler"]}\" AND (textPayload=~\"^(schedules|runs) are late by\" OR jsonPayload.message=~\"^(schedules|runs) are late by\")"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# A receiver that fails is its owner's to repair, so nothing alerts; who has many of them sees it here.
resource "google_logging_metric" "failed_deliveries" {
  name   = "convergence/failed_deliveries"
  filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.services["webhook"]}\" AND (textPayload=~\"^delivery .* failed\" OR jsonPayload.message=~\"^delivery .* failed\")"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  display_name          = each.key
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.duration

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = each.value.aligner
      }
    }
  }

  documentation {
    content = local.runbook
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  for_each = local.dead_letter_topics

  display_name          = "Messages in ${each.key}"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "Published into ${each.key}"

    condition_threshold {
      filter          = "resource.type = \"pubsub_topic\" AND resource.labels.topic_id = \"${each.key}\" AND metric.type = \"pubsub.googleapis.com/topic/send_request_count\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.alerts.dead_letters
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  documentation {
    content = local.runbook
  }
}

# Without ticks nothing is scheduled and nothing is reconciled.
resource "google_monitoring_alert_policy" "no_tick" {
  display_name          = "No tick is handled"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "scheduler-tick acknowledges nothing"

    condition_absent {
      filter   = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.push["scheduler-tick"].name}\" AND metric.type = \"pubsub.googleapis.com/subscription/push_request_count\" AND metric.labels.response_class = \"ack\""
      duration = "${var.alerts.ticks_missing_min * 60}s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  documentation {
    content = local.runbook
  }
}

# Of each quota by the minute: what was used in the last one, as a part of the project's limit.
resource "google_monitoring_alert_policy" "quota_near" {
  display_name          = "Quota near"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "Quota near"

    condition_prometheus_query_language {
      duration            = "120s"
      evaluation_interval = "60s"

      query = join(" ", [
        "sum by (quota_metric, location) (increase(serviceruntime_googleapis_com:quota_rate_net_usage{monitored_resource=\"consumer_quota\"}[1m]))",
        "/ min by (quota_metric, location) (serviceruntime_googleapis_com:quota_limit{monitored_resource=\"consumer_quota\",limit_name=~\".*PerMinutePerProject.*\"})",
        "> ${var.alerts.quota_used}",
      ])
    }
  }

  documentation {
    content = local.runbook
  }
}

resource "google_monitoring_dashboard" "operations" {
  dashboard_json = templatefile("${path.module}/dashboard.json", { project = var.project })
}
