# What the project has switched on, and facts about it.

locals {
  apis = [
    "artifactregistry", "bigquery", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudkms", "cloudresourcemanager",
    "cloudscheduler", "firestore", "iam", "logging", "monitoring", "pubsub", "run", "secretmanager", "storage",
  ]

  number = data.google_project.this.number
  labels = { app = "convergence", environment = var.environment }
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "api" {
  for_each = toset(local.apis)

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
