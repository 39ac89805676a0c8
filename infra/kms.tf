# The key that seals credentials. It never leaves KMS; each ciphertext has a data key that it wraps.

resource "google_kms_key_ring" "convergence" {
  name     = "convergence"
  location = var.locations.kms

  depends_on = [google_project_service.api]
}

resource "google_kms_crypto_key" "credentials" {
  name            = "credentials"
  key_ring        = google_kms_key_ring.convergence.id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s" # 90 days; older versions stay enabled, and open what they sealed

  lifecycle {
    prevent_destroy = true # without it every stored credential is lost
  }
}
