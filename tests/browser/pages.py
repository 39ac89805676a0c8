"""The address of every page, by name; `failed`, `costs` and `hostile` are runs of the site."""

from __future__ import annotations

from tests.browser.demo_site import PERIOD

COSTS = "from=2026-10-10&to=2026-10-12"
PAGES = {
    "pipelines": "/ui/demo/pipelines",
    "unused": "/ui/demo/pipelines?tab=unused",
    "history": "/ui/demo/pipelines/history",
    "no-match": "/ui/demo/pipelines/history?pipeline=none",
    "run-failed": "/ui/demo/runs/{failed}",
    "run-completed": "/ui/demo/runs/{costs}",
    "run-hostile": "/ui/demo/runs/{hostile}",
    "edit-and-replay": "/ui/demo/runs/{failed}/replay",
    "form": "/ui/demo/run/openai/cost/usage_cost",
    "schedules": "/ui/demo/pipelines/schedules",
    "dead-letters": "/ui/demo/dead-letters",
    "costs": f"/ui/demo/costs?{COSTS}",
    "charges": f"/ui/demo/costs/charges?{COSTS}",
    "quality": "/ui/demo/quality",
    "period": f"/ui/demo/quality/period?{PERIOD}",
    "payload": "/ui/demo/dead-letters/payload?code=step.failed&pipeline=shop/plans&step=load_plans",
    "cause": "/ui/demo/dead-letters/cause?code=step.failed&pipeline=shop/plans&step=load_plans",
    "letter": "/ui/demo/dead-letters/letter/{failed}.load_plans.0",
    "settings": "/ui/demo/settings",
    "webhooks": "/ui/demo/settings/webhooks",
    "deliveries": "/ui/demo/settings/webhooks/deliveries",
    "first-run": "/ui/initech/pipelines",
    "admin": "/ui/admin",
    "all-dead-letters": "/ui/_all/dead-letters",
    "health": "/ui/_all/health",
}
