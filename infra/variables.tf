variable "project" {
  description = "The Google Cloud project. One project for each environment."
  type        = string
}

variable "environment" {
  description = "development, staging or production: the same words as the setting ENVIRONMENT."
  type        = string

  validation {
    condition     = contains(["development", "staging", "production"], var.environment)
    error_message = "environment must be development, staging or production."
  }
}

variable "release" {
  description = "The version whose packages run: the folder below gs://{releases_bucket}/releases/."
  type        = string
}

variable "releases_bucket" {
  description = "The bucket that `make deploy` uploads packages to. It is made by hand, before the first apply."
  type        = string
}

variable "region" {
  description = "Where functions, topics' subscriptions and the scheduler run."
  type        = string
  default     = "us-central1"
}

variable "locations" {
  description = "Where data is kept. They cannot be changed after the first apply."
  type = object({
    firestore = optional(string, "nam5")
    bigquery  = optional(string, "US")
    kms       = optional(string, "us")
  })
  default = {}
}

variable "settings" {
  description = "Settings of the functions by name (docs/api.md, Settings). Secrets are not among them."
  type        = map(string)
  default     = {}
}

variable "smtp_password" {
  description = "True when mail is sent: the secret convergence-smtp-password then exists and has a version."
  type        = bool
  default     = false
}

variable "protect" {
  description = "Refuse to delete the database, tables and the key ring's key."
  type        = bool
  default     = true
}

variable "backups" {
  description = "Point-in-time recovery of Firestore (seven days), and a daily backup that is kept so long."
  type = object({
    point_in_time = optional(bool, true)
    keep_days     = optional(number, 14)
  })
  default = {}
}

variable "alerts" {
  description = "Who gets alerts, and from which values on."
  type = object({
    emails            = optional(list(string), [])
    oldest_unacked_s  = optional(number, 900)
    dead_letters      = optional(number, 0)
    errors_per_5_min  = optional(number, 5)
    ticks_missing_min = optional(number, 10)
    quota_used        = optional(number, 0.8)
  })
  default = {}
}

variable "budget" {
  description = "A monthly budget whose halves and whole are announced. None: no budget."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  default = null
}
