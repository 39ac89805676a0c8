# One tick a minute. What is due is computed by the engine: a job for each schedule would not fit into the quota.

resource "google_cloud_scheduler_job" "tick" {
  name        = "convergence-tick"
  description = "Due schedules, the reconciler and backfills."
  region      = var.region
  schedule    = "* * * * *"
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.topic["tick"].id
    data       = base64encode("{}")
  }

  depends_on = [google_project_service.api]
}
