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
operate() { # method, path, JSON: as the operator
    curl -sS -X "$1" "$API$2" -H "X-CA-Root-Key: $CONVERGENCE_ROOT_KEY" -H 'Content-Type: application/json' -d "${3:-{\}}"
}
look() { curl -sS "$API$1" -H "X-API-Key: $KEY"; }
has() { # JSON, a part of it
    case $1 in *"$2"*) ;; *) fail "$1" ;; esac
}
is() { has "$1" "\"status\":\"$2\""; } # JSON, status
ends() { # run, status: follows its events to the end
    curl -sSN --max-time 300 "$API/pipelines/events/$ORG/$1" -H "X-API-Key: $KEY" | grep -c '^event: move'
    is "$(look "/pipelines/status/$ORG/$1")" "$2"
}

step 'Onboarding: the operator creates the org; its key is shown once'
answer=$(operate POST /organizations/onboard "{\"slug\": \"$ORG\", \"plan\": \"PROFESSIONAL\"}")
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
RUN=$(field "$answer" run_id)
ends "$RUN" completed

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
ends "$RUN" completed

step 'Schedules: those of the pipelines are there; one more, changed, its next firings, run now, and away with it'
look "/scheduler/schedules/$ORG" | cut -c 1-300
answer=$(call POST "/scheduler/schedules/$ORG" '{"pipeline": "example/hello", "name": "mondays",
    "cron_expression": "0 6 * * 1", "timezone": "Europe/Berlin"}')
SCHEDULE=$(field "$answer" schedule_id)
answer=$(call PUT "/scheduler/schedule/$SCHEDULE" '{"cron_expression": "30 7 * * 1", "parameters": {"greeting": "hi"}}')
has "$answer" '"success":true'
has "$(look "/scheduler/schedules/$ORG/$SCHEDULE")" '"cron_expression":"30 7 * * 1"'
answer=$(look "/scheduler/schedules/$ORG/$SCHEDULE/next?count=2")
has "$answer" ' 07:30'
printf '%s\n' "$answer"
answer=$(call POST /scheduler/trigger "{\"schedule_id\": \"$SCHEDULE\"}")
ends "$(field "$answer" run_id)" completed
has "$(call DELETE "/scheduler/schedules/$ORG/$SCHEDULE")" '"success":true'

step 'Queue: what waits and for what; the operator has it looked at now'
has "$(look /scheduler/queue)" '"queue":'
answer=$(operate POST /scheduler/queue/process)
has "$answer" '"admitted":'
printf '%s\n' "$answer"

step 'Backfill: which days are missing? Then run them, pause, go on, and end it'
DAYS="{\"from\": \"2024-05-11\", \"to\": \"2024-05-14\", \"parameters\": {\"api_base_url\": \"$URL\"}}"
call POST "/pipelines/backfill/$ORG/openai/cost/cost_extract?dry_run=true" "$DAYS" | cut -c 1-300
answer=$(call POST "/pipelines/backfill/$ORG/openai/cost/cost_extract" "$DAYS")
is "$answer" running
BACKFILL=$(field "$answer" backfill_id)
is "$(call POST "/pipelines/backfills/$ORG/$BACKFILL/pause")" paused
is "$(call POST "/pipelines/backfills/$ORG/$BACKFILL/resume")" running
is "$(call POST "/pipelines/backfills/$ORG/$BACKFILL/cancel")" cancelled
look "/pipelines/backfills/$ORG/$BACKFILL"
look "/pipelines/backfills/$ORG" | cut -c 1-100

step 'Dead letters: a run that fails, what failed, and a replay with the right address'
WRONG="{$DATES, \"api_base_url\": \"http://127.0.0.1:1/v1\"}"
RIGHT="\"parameters\": {\"api_base_url\": \"$URL\"}"
failing() { # sets LETTER: the dead letter of a new run
    is "$(call POST "/pipelines/run/$ORG/openai/cost/cost_extract?wait=60" "$WRONG")" failed
    LETTER=$(field "$(look "/dead-letters/$ORG?state=open&limit=1")" letter_id)
}
failing
look "/dead-letters/$ORG/summary?state=open"
look "/dead-letters/$ORG/$LETTER" | cut -c 1-300
answer=$(call POST "/dead-letters/$ORG/$LETTER/replay" "{$RIGHT}")
ends "$(field "$answer" run_id)" completed
has "$(look "/dead-letters/$ORG/$LETTER")" '"state":"completed"'

step 'Many dead letters: what a replay of all would do; do it, pause, go on, and end it'
failing
FILTER="\"pipeline\": \"openai/cost/cost_extract\", \"newer_than\": \"1h\""
call POST "/dead-letters/$ORG/replays?dry_run=true" "{$FILTER, $RIGHT}"
answer=$(call POST "/dead-letters/$ORG/replays" "{$FILTER, $RIGHT}")
is "$answer" running
REPLAY=$(field "$answer" replay_id)
is "$(call POST "/dead-letters/$ORG/replays/$REPLAY/pause")" paused
is "$(call POST "/dead-letters/$ORG/replays/$REPLAY/resume")" running
is "$(call POST "/dead-letters/$ORG/replays/$REPLAY/cancel")" cancelled
look "/dead-letters/$ORG/replays/$REPLAY"
look "/dead-letters/$ORG/replays" | cut -c 1-100

step 'What needs nothing more is discarded: one, or all of a filter'
failing
answer=$(call POST "/dead-letters/$ORG/$LETTER/discard" '{"reason": "the address was a mistake"}')
has "$answer" '"state":"discarded"'
call POST "/dead-letters/$ORG/discards?dry_run=true" "{$FILTER, \"reason\": \"all of them were mistakes\"}"

step 'Webhooks: the secret is shown once; a test event to a port where nothing listens; what was sent; away with it'
answer=$(call POST "/webhooks/$ORG" '{"url": "http://127.0.0.1:9/hook", "events": ["run.failed"]}')
HOOK=$(field "$answer" webhook_id)
has "$answer" '"secret":"whsec_'
answer=$(call PATCH "/webhooks/$ORG/$HOOK" '{"description": "to nowhere"}')
has "$answer" '"description":"to nowhere"'
is "$(call POST "/webhooks/$ORG/$HOOK/test")" failed
answer=$(look "/webhooks/$ORG/deliveries?webhook=$HOOK")
look "/webhooks/$ORG/deliveries/$(field "$answer" delivery_id)"
look "/webhooks/$ORG/$HOOK"
look "/webhooks/$ORG" | cut -c 1-100
call POST "/webhooks/$ORG/$HOOK/rotate" '{"overlap_hours": 1}' | cut -c 1-100
call DELETE "/webhooks/$ORG/$HOOK"
has "$(call POST "/webhooks/$ORG" '{"url": "https://10.0.0.1/"}')" 'private address'

step 'Quota: the operator moves the org to STARTER, six runs a day; the next one is a 429'
has "$(operate PUT "/organizations/$ORG/subscription" '{"status": "active", "plan": "STARTER"}')" '"plan":"STARTER"'
answer=
for _ in 1 2 3 4 5 6 7; do
    answer=$(call POST "/pipelines/run/$ORG/example/hello?wait=10")
    case $answer in *'"code":"quota.exceeded"'*) break ;; esac
done
has "$answer" 'Daily pipeline limit (6) reached'
printf '%s\n' "$answer"
look "/organizations/$ORG/quota"

step 'Done'
