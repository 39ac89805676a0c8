#!/usr/bin/env bash
# Deploy a release, go back to one, or remove an environment. `make deploy|rollback|destroy` call it.
#
#   infra/deploy.sh deploy ENV [VERSION]   package, upload, apply, wait until it is ready, migrate, run a pipeline;
#                                          when one of these fails in stage or prod, apply the release before
#   infra/deploy.sh rollback ENV VERSION   apply a release that was uploaded before
#   infra/deploy.sh destroy ENV            remove everything that is not protected; never prod
#
# CONVERGENCE_ROOT_KEY: migrations and procedures are synchronised. CONVERGENCE_API_KEY: a pipeline of its org
# (SMOKE_ORG, SMOKE_PIPELINE) is run.
set -euo pipefail
cd "$(dirname "$0")/.."
action=${1:-} env=${2:-} version=${3:-}
fail() { echo "deploy.sh: $*" >&2; exit 2; }

[ -n "$env" ] && [ -f "infra/envs/$env.tfvars" ] || fail "there is no environment '$env': $(cd infra/envs && echo ./*.tfvars)"
bucket=$(sed -n 's/^releases_bucket *= *"\(.*\)"$/\1/p' "infra/envs/$env.tfvars")
[ -n "$bucket" ] || fail "infra/envs/$env.tfvars names no releases_bucket"

tf() { terraform -chdir=infra "$@"; }
init() { tf init -input=false -reconfigure -backend-config="envs/$env.gcs.tfbackend"; }
apply() { tf apply -input=false -auto-approve -var-file="envs/$env.tfvars" -var "release=$1"; }

# Chained with &&: `set -e` is off inside a condition.
ready() {
	local url
	url=$(tf output -raw url) &&
		curl --fail --silent --show-error --retry 30 --retry-all-errors --retry-delay 5 "$url/ready" >/dev/null &&
		echo "$url is ready."
}
smoke() {
	local url
	url=$(tf output -raw url) || return
	if [ -n "${CONVERGENCE_ROOT_KEY:-}" ]; then
		convergence --url "$url" migrate || return
		convergence --url "$url" schemas sync || return
		convergence --url "$url" procedures sync || return
	else
		echo "CONVERGENCE_ROOT_KEY is not set: nothing was migrated or synchronised."
	fi
	# A whole run: dispatcher, step, Firestore, Pub/Sub, BigQuery.
	if [ -n "${CONVERGENCE_API_KEY:-}" ]; then
		convergence --url "$url" run "${SMOKE_ORG:-smoke}" "${SMOKE_PIPELINE:-example/hello}"
	else
		echo "CONVERGENCE_API_KEY is not set: no pipeline was run."
	fi
}

case $action in
deploy)
	version=${version:-$(git describe --tags --always --dirty)}
	case $version in *-dirty) [ "$env" = dev ] || fail "commit first: a release must be found again" ;; esac
	make --no-print-directory package
	gcloud storage cp build/functions/*.zip "gs://$bucket/releases/$version/"
	init
	before=$(tf output -raw release 2>/dev/null || true)
	if apply "$version" && ready && smoke; then
		echo "$version runs in $env."
	elif [ "$env" = dev ] || [ -z "$before" ] || [ "$before" = "$version" ]; then
		fail "$version does not run in $env"
	else
		echo "$version failed; going back to $before" >&2
		apply "$before" && ready
		fail "$version failed; $before runs in $env again"
	fi
	;;
rollback)
	[ -n "$version" ] || fail "which release? gcloud storage ls gs://$bucket/releases/"
	gcloud storage ls "gs://$bucket/releases/$version/" >/dev/null || fail "gs://$bucket/releases/ has no $version"
	init
	apply "$version"
	ready
	;;
destroy)
	[ "$env" != prod ] || fail "prod is not destroyed by a command: docs/deploy.md, "Settings that Terraform has", says how it is done by hand"
	init
	tf destroy -input=false -var-file="envs/$env.tfvars" -var "release=${version:-none}"
	;;
*)
	fail "deploy, rollback or destroy?"
	;;
esac
