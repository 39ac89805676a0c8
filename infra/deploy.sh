#!/usr/bin/env bash
# Deploy a release, go back to one, or remove an environment. `make deploy|rollback|destroy` call it.
#
#   infra/deploy.sh deploy ENV [VERSION]   package, upload, apply, wait until it is ready, migrate, run a pipeline;
#                                          when one of these fails in stage or prod, apply the release before
#   infra/deploy.sh rollback ENV VERSION   apply a release that was uploaded before
#   infra/deploy.sh destroy ENV            remove everything but the key; never prod
#
# CONVERGENCE_ROOT_KEY: migrations and procedures are synchronised. CONVERGENCE_API_KEY: a pipeline of its org
# (SMOKE_ORG, SMOKE_PIPELINE) is run.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH # `make package` installs it, with the command `convergence`
action=${1:-} env=${2:-} version=${3:-}
fail() { echo "deploy.sh: $*" >&2; exit 2; }

[ -n "$env" ] && [ -f "infra/envs/$env.tfvars" ] || fail "there is no environment '$env': $(cd infra/envs && echo ./*.tfvars)"
bucket=$(sed -n 's/^releases_bucket *= *"\(.*\)"$/\1/p' "infra/envs/$env.tfvars")
[ -n "$bucket" ] || fail "infra/envs/$env.tfvars names no releases_bucket"
releases=gs://$bucket/releases
needed() { for program in "$@"; do command -v "$program" >/dev/null || fail "$program is not installed (docs/deploy.md)"; done; }

tf() { terraform -chdir=infra "$@"; }
init() { tf init -input=false -reconfigure -backend-config="envs/$env.gcs.tfbackend"; }
apply() { tf apply -input=false -auto-approve -var-file="envs/$env.tfvars" -var "release=$1"; }
# As JSON: without any output, `-raw` writes a warning where the value would be, and succeeds.
running() { tf output -json | python3 -c 'import json, sys; print(json.load(sys.stdin).get("release", {}).get("value", ""))'; }

# Give the functions the code of an older release. One that it does not have yet stays that of $2.
back() {
	{ [ "$1" = "$2" ] || gcloud storage cp --no-clobber "$releases/$2/*.zip" "$releases/$1/"; } && apply "$1" && ready
}

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

# Terraform replaces a function's code when the name of its release changes, so a name stands for one content.
upload() {
	local digest known
	digest=$(cat build/functions/*.zip | python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:12])')
	case $version in *-dirty) version=$version-$digest ;; esac
	known=$(gcloud storage cat "$releases/$version/digest" 2>/dev/null || true)
	[ -z "$known" ] || [ "$known" = "$digest" ] || fail "$releases/$version has other code: deploy under another VERSION"
	echo "$digest" >build/functions/digest
	gcloud storage cp build/functions/*.zip build/functions/digest "$releases/$version/"
}

case $action in
deploy)
	version=${version:-$(git describe --tags --always --dirty)}
	case $version in *-dirty) [ "$env" = dev ] || fail "commit first: a release must be found again" ;; esac
	needed gcloud terraform curl python3
	make --no-print-directory package
	upload
	init
	before=$(running)
	if apply "$version" && ready && smoke; then
		echo "$version runs in $env."
	elif [ "$env" = dev ] || [ -z "$before" ] || [ "$before" = "$version" ]; then
		fail "$version does not run in $env"
	else
		echo "$version failed; going back to $before" >&2
		back "$before" "$version" || fail "$version failed, and $before does not run in $env again either"
		fail "$version failed; $before runs in $env again"
	fi
	;;
rollback)
	[ -n "$version" ] || fail "which release? gcloud storage ls $releases/"
	needed gcloud terraform curl python3
	gcloud storage ls "$releases/$version/" >/dev/null || fail "$releases/ has no $version, or you may not read it"
	init
	before=$(running)
	back "$version" "${before:-$version}" || fail "$version does not run in $env"
	;;
destroy)
	[ "$env" != prod ] || fail "prod is not destroyed by a command: docs/deploy.md, 'Settings that Terraform has', says how it is done by hand"
	needed terraform
	init
	# Credentials are lost with the key, so Terraform refuses to destroy it; and a key ring cannot be deleted.
	for kept in google_kms_crypto_key.credentials google_kms_key_ring.convergence; do
		if tf state list | grep -x "$kept" >/dev/null; then tf state rm "$kept"; fi
	done
	tf destroy -input=false -var-file="envs/$env.tfvars" -var "release=${version:-none}"
	;;
*)
	fail "deploy, rollback or destroy?"
	;;
esac
