// Generated from the API's OpenAPI document by `make client`; do not edit.
// Dates and times are text in UTC. A refusal throws ApiError with the problem document (RFC 9457).

export interface Settings {
  /** Such as https://convergence.example */
  baseUrl: string;
  /** A key of the org; a browser should call a server of yours that adds it. */
  apiKey?: string;
  fetch?: typeof fetch;
}

export class ApiError extends Error {
  constructor(readonly status: number, readonly problem: Problem) {
    super(problem.detail);
    this.name = "ApiError";
  }
}

async function call<T>(
  settings: Settings,
  method: string,
  path: string,
  query: Record<string, unknown>,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const url = new URL(settings.baseUrl.replace(/\/$/, "") + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
  }
  const sent: Record<string, string> = { accept: "application/json", ...headers };
  if (settings.apiKey) sent["X-API-Key"] = settings.apiKey;
  if (body !== undefined) sent["content-type"] = "application/json";
  const answer = await (settings.fetch ?? fetch)(url.toString(), {
    method,
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const content: unknown = await answer.json();
  if (!answer.ok) throw new ApiError(answer.status, content as Problem);
  return content as T;
}

/** A run that was accepted: `pending` until its first step starts. */
export interface Accepted {
  run_id: string;
  status: string;
}

/** `success` is False for a run that had ended before. */
export interface Cancelled {
  success: boolean;
  status: string;
}

/** A parameter that a replay changed, in the epoch that the replay began; null where it was not given. */
export interface Change {
  epoch: number;
  name: string;
  before: unknown;
  after: unknown;
}

/** A parameter that the file declares; `value` is what the run would have, null for a secret. */
export interface DeclaredParameter {
  name: string;
  type: string;
  required: boolean;
  allowed: unknown[] | null;
  description: string;
  value: unknown;
}

/** One of several mistakes: where it is and what is wrong. */
export interface Fault {
  path: string;
  message: string;
  where?: string;
}

/** A page of runs, latest first; `cursor` is None on the last. */
export interface History {
  runs: RunSummary[];
  cursor: string | null;
}

/** A run that was not started. */
export interface PlanView {
  org: string;
  pipeline: string;
  pipeline_id: string;
  dataset: string;
  dates: Record<string, string>;
  parameters: Record<string, unknown>;
  declared: DeclaredParameter[];
  secrets: string[];
  timeout_s: number;
  limits: Record<string, Used>;
  steps: PlannedStep[];
  tables: Record<string, string[]>;
  warnings: string[];
}

/** One step as it would run; `problem` gives the reason why it would fail, `reads` tables, files and addresses. */
export interface PlannedStep {
  step_id: string;
  ps_type: string;
  depends_on: string[];
  trigger: string | null;
  when: string | null;
  enabled: boolean;
  timeout_s: number;
  attempts_max: number;
  on_failure: string;
  config: Record<string, unknown>;
  problem: string | null;
  where: string;
  reads: string[];
}

/** RFC 9457, with a stable `code` that programs may rely on; wordings may improve. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: Fault[];
}

/** `parameters` edit those that the run had; `latest` reads the pipeline's file again. `applied` decides per step about writes that took effect with different input: `keep` accepts them, `again` writes a second time. */
export interface ReplayBody {
  parameters?: Record<string, unknown> | null;
  latest?: boolean;
  force?: boolean;
  applied?: Record<string, "keep" | "again">;
}

/** One line of a history. `parameters` without those of type secret; `created_by`: the key's id, or the trigger. */
export interface RunSummary {
  run_id: string;
  org: string;
  pipeline: string;
  status: string;
  outcome: string;
  trigger: string;
  created_by: string;
  credential_id: string;
  start_date: string | null;
  end_date: string | null;
  parameters: Record<string, unknown>;
  changes: Change[];
  epoch: number;
  records_processed: number;
  rows_written: number;
  error_message: string | null;
  error_code: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  duration_ms: number | null;
}

/** A run with its steps. */
export interface RunView {
  run_id: string;
  org: string;
  pipeline: string;
  status: string;
  outcome: string;
  trigger: string;
  created_by: string;
  credential_id: string;
  start_date: string | null;
  end_date: string | null;
  parameters: Record<string, unknown>;
  changes: Change[];
  epoch: number;
  records_processed: number;
  rows_written: number;
  error_message: string | null;
  error_code: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  duration_ms: number | null;
  provider: string;
  domain: string;
  progress: number;
  waits_for: string | null;
  parent_run: string | null;
  children: string[];
  warnings: string[];
  focus: Record<string, unknown>[];
  steps: StepView[];
}

/** A schedule. `lag_seconds`: how long a due firing has not been decided; 0 when none is due. */
export interface ScheduleView {
  schedule_id: string;
  org_slug: string;
  provider: string;
  pipeline: string;
  name: string;
  cron_expression: string;
  timezone: string;
  is_enabled: boolean;
  state: string;
  reason: string;
  credential_id: string;
  parameters: Record<string, unknown>;
  missed: string;
  overlap: string;
  jitter_minutes: number;
  next_run_at: string | null;
  last_run_at: string | null;
  last_run: string | null;
  last_skip: SkipView | null;
  paused_until: string | null;
  lag_seconds: number;
  created_at: string;
  updated_at: string;
}

/** Schedules of an org, by pipeline. */
export interface Schedules {
  schedules: ScheduleView[];
}

/** The firings that were skipped last. */
export interface SkipView {
  first: string;
  last: string;
  count: number;
  reason: string;
}

/** One step. `attempts` counts those that began, in the run's epoch; `trigger` is set for an end step. */
export interface StepView {
  step_id: string;
  ps_type: string;
  status: string;
  trigger: string | null;
  attempts: number;
  attempts_max: number;
  crashes: number;
  crashes_when_proven: number;
  crashes_when_isolated: number;
  next_attempt_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  duration_ms: number | null;
  rows_processed: number;
  rows_written: number;
  balance: Record<string, number> | null;
  error_message: string | null;
  error_code: string | null;
}

/** How much of a limit is used. */
export interface Used {
  used: number;
  limit: number;
}

/** Run a pipeline for an org. */
export async function runPipeline(settings: Settings, org: string, path: string, body?: Record<string, unknown>, options: { wait?: number; dry_run?: boolean; queue?: boolean; force?: boolean; idempotencyKey?: string } = {}): Promise<Accepted | RunView | PlanView> {
  return call(settings, "POST", `/api/v1/pipelines/run/${encodeURIComponent(org)}/${path.split("/").map(encodeURIComponent).join("/")}`, { wait: options.wait, dry_run: options.dry_run, queue: options.queue, force: options.force }, body, options.idempotencyKey === undefined ? {} : { "idempotency-key": options.idempotencyKey });
}

/** Return a run with its steps; `waits_for` names what a stalled run waits for. */
export async function getPipelineStatus(settings: Settings, org: string, runId: string): Promise<RunView> {
  return call(settings, "GET", `/api/v1/pipelines/status/${encodeURIComponent(org)}/${encodeURIComponent(runId)}`, {});
}

/** Return the org's runs, latest first. */
export async function getPipelineHistory(settings: Settings, org: string, options: { provider?: string; status?: "queued" | "pending" | "validating" | "running" | "completed" | "failed" | "cancelled" | "skipped"; limit?: number; cursor?: string } = {}): Promise<History> {
  return call(settings, "GET", `/api/v1/pipelines/history/${encodeURIComponent(org)}`, { provider: options.provider, status: options.status, limit: options.limit, cursor: options.cursor });
}

/** List the schedules of an org. */
export async function getSchedules(settings: Settings, org: string): Promise<Schedules> {
  return call(settings, "GET", `/api/v1/scheduler/schedules/${encodeURIComponent(org)}`, {});
}

/** Cancel a run; finished steps keep their results, and a run that has already ended is unchanged. */
export async function cancelRun(settings: Settings, org: string, runId: string): Promise<Cancelled> {
  return call(settings, "POST", `/api/v1/pipelines/cancel/${encodeURIComponent(org)}/${encodeURIComponent(runId)}`, {});
}

/** Run a failed or cancelled run again from where it stopped; finished steps do not run again. */
export async function replayRun(settings: Settings, org: string, runId: string, body?: ReplayBody): Promise<Accepted> {
  return call(settings, "POST", `/api/v1/pipelines/replay/${encodeURIComponent(org)}/${encodeURIComponent(runId)}`, {}, body);
}
