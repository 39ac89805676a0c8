# make deploy ENV=prod. Replace the project and the address; docs/deploy.md goes through them.
project         = "convergence-prod"
releases_bucket = "convergence-prod-terraform"
environment     = "production"
protect         = true

settings = {
  CORS_ORIGINS = "https://app.example.com"
}

alerts = {
  emails = ["oncall@example.com"]
}
