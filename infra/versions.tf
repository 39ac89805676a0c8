terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }

  # The bucket is made by hand, once per project: docs/deploy.md. envs/{env}.gcs.tfbackend names it.
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region
}
