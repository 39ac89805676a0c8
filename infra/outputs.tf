output "url" {
  description = "Where the API is."
  value       = local.urls["dispatcher"]
}

output "services" {
  description = "The Cloud Run service of each function."
  value       = local.services
}

output "release" {
  description = "The version that runs."
  value       = var.release
}
