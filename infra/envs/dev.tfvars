# make deploy ENV=dev. Replace the project and the address; docs/deploy.md goes through them.
project         = "convergence-dev"
releases_bucket = "convergence-dev-terraform"
environment     = "development"
protect         = false

settings = {
  CORS_ORIGINS = "https://app.example.com"
}

alerts = {
  emails = []
}
