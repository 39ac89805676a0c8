#!/bin/sh
# A tour of the REST API with nothing but curl: onboarding, integration, run, status, logs, cancel, replay, schedules,
# backfills, dead letters, webhooks, quota.
#
#   CONVERGENCE_ROOT_KEY=$(head -c 32 /dev/urandom | base64) convergence serve      # one terminal, the same key below
#   python -m convergence.sandbox                                             # another: a provider, it prints its key
#   CONVERGENCE_ROOT_KEY=… PROVIDER_KEY=… PROVIDER_URL=http://127.0.0.1:8765/v1 sh docs/api_walkthrough.sh
#
# With PROVIDER_KEY an admin key of OpenAI and no PROVIDER_URL, it is the real provider.
set -eu

API=${API:-http://127.0.0.1:8001/api/v1}
ORG=${ORG:-acme}
URL=${PROVIDER_URL:-https://api.openai.com/v1}
: "${CONVERGENCE_ROOT_KEY:?the key that the server was started with}" "${PROVIDER_KEY:?an admin key of the provider}"

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'unexpected: %s\n' "$*" >&2; exit 1; }
field() { # JSON, name: the text of a field
    rest=${1#*\""$2"\":\"}
    printf '%s' "${rest%%\"*}"
}
call() { # method, path, JSON: as the org
    curl -sS -X "$1" "$API$2" -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d "${3:-{\}}"
}
look() { curl -sS "$API$1" -H "X-API-Key: $KEY"; }
is() { # JSON, status
    case $1 in *"\"status\":\"$2\""*) ;; *) fail "$1" ;; esac
}

step 'Onboarding: the operator creates the org; its key is shown once'
answer=$(curl -sS -X POST "$API/organizations/onboard" -H "X-CA-Root-Key: $CONVERGENCE_ROOT_KEY" \
    -H 'Content-Type: application/json' -d "{\"slug\": \"$ORG\", \"plan\": \"STARTER\"}")
KEY=$(field "$answer" api_key)
case $KEY in cvk_*) printf 'the org %s has a key\n' "$ORG" ;; *) fail "$answer" ;; esac

step 'Integration: the key of the provider, stored encrypted and tried'
answer=$(call POST "/integrations/$ORG/openai/setup?wait=60" "{\"api_key\": \"$PROVIDER_KEY\", \"api_base_url\": \"$URL\"}")
is "$answer" completed
look "/integrations/$ORG"

DATES="\"start_date\": \"${START_DATE:-2024-05-13}\", \"end_date\": \"${END_DATE:-2024-05-14}\""
BODY="{$DATES, \"api_base_url\": \"$URL\"}"

step 'Run: what would it do? Then do it and wait for the end'
call POST "/pipelines/run/$ORG/openai/cost/usage_cost?dry_run=true" "$BODY" | cut -c 1-300
answer=$(call POST "/pipelines/run/$ORG/openai/cost/usage_cost?wait=60" "$BODY")
is "$answer" completed
RUN=$(field "$answer" run_id)

step 'Status, logs, history'
look "/pipelines/status/$ORG/$RUN"
printf '\n'
look "/pipelines/logs/$ORG/$RUN/download" | head -3
look "/pipelines/history/$ORG?limit=2" | cut -c 1-300

step 'Cancel a run, then replay it: finished steps are not done again'
answer=$(call POST "/pipelines/run/$ORG/openai/cost/usage_cost" "$BODY")
RUN=$(field "$answer" run_id)
answer=$(call POST "/pipelines/cancel/$ORG/$RUN")
is "$answer" cancelled
printf '%s\n' "$answer"
answer=$(call POST "/pipelines/replay/$ORG/$RUN")
is "$answer" pending
curl -sSN --max-time 60 "$API/pipelines/events/$ORG/$RUN" -H "X-API-Key: $KEY" | grep -c '^event: move'
is "$(look "/pipelines/status/$ORG/$RUN")" completed

step 'Schedules: those of the pipelines are there; one more, its next firings, and away with it'
look "/scheduler/schedules/$ORG" | cut -c 1-300
answer=$(call POST "/scheduler/schedules/$ORG" '{"pipeline": "example/hello", "name": "mondays",
    "cron_expression": "0 6 * * 1", "timezone": "Europe/Berlin"}')
SCHEDULE=$(field "$answer" schedule_id)
look "/scheduler/schedules/$ORG/$SCHEDULE/next?count=2"
call DELETE "/scheduler/schedules/$ORG/$SCHEDULE" >/dev/null
look "/scheduler/queue"

step 'Backfill: which days are missing? Nothing runs yet'
call POST "/pipelines/backfill/$ORG/openai/cost/usage_cost?dry_run=true" \
    '{"from": "2024-05-11", "to": "2024-05-14"}' | cut -c 1-300

step 'Dead letters: a run that fails, what failed, what a replay would do; this one is discarded'
answer=$(call POST "/pipelines/run/$ORG/openai/cost/usage_cost?wait=60" "{$DATES, \"api_base_url\": \"http://127.0.0.1:1/v1\"}")
is "$answer" failed
look "/dead-letters/$ORG/summary?state=open"
LETTER=$(field "$(look "/dead-letters/$ORG?state=open&limit=1")" letter_id)
look "/dead-letters/$ORG/$LETTER" | cut -c 1-300
call POST "/dead-letters/$ORG/replays?dry_run=true" '{"newer_than": "1h"}'
answer=$(call POST "/dead-letters/$ORG/$LETTER/discard" '{"reason": "the address was a mistake"}')
case $answer in *'"state":"discarded"'*) ;; *) fail "$answer" ;; esac

step 'Webhooks: the secret is shown once; a test event to a port where nothing listens; what was sent; away with it'
answer=$(call POST "/webhooks/$ORG" '{"url": "http://127.0.0.1:9/hook", "events": ["run.failed"]}')
HOOK=$(field "$answer" webhook_id)
case $answer in *'"secret":"whsec_'*) ;; *) fail "$answer" ;; esac
is "$(call POST "/webhooks/$ORG/$HOOK/test")" failed
look "/webhooks/$ORG/deliveries?webhook=$HOOK"
call POST "/webhooks/$ORG/$HOOK/rotate" '{"overlap_hours": 1}' | cut -c 1-100
call DELETE "/webhooks/$ORG/$HOOK"
case $(call POST "/webhooks/$ORG" '{"url": "https://10.0.0.1/"}') in *'private address'*) ;; *) fail "a private address" ;; esac

step 'Quota: STARTER has six runs a day; the next one is a 429'
answer=
for _ in 1 2 3 4 5 6 7; do
    answer=$(call POST "/pipelines/run/$ORG/example/hello?wait=10")
    case $answer in *'"code":"quota.exceeded"'*) break ;; esac
done
case $answer in *'Daily pipeline limit (6) reached'*) printf '%s\n' "$answer" ;; *) fail "$answer" ;; esac
look "/organizations/$ORG/quota"

step 'Done'
