# make deploy ENV=stage. Replace the project and the address; docs/deploy.md goes through them.
project         = "convergence-stage"
releases_bucket = "convergence-stage-terraform"
environment     = "staging"
protect         = false

settings = {
  CORS_ORIGINS = "https://app.example.com"
}

alerts = {
  emails = ["oncall@example.com"]
}
