"""No door shows one team that anything of another team exists. Every route has a row here, or the first test fails."""

import asyncio

import pytest

from factory_infra.factory import Factory
from factory_infra.iaas.leases.rows import lease_id
from tests.api.house import DIGEST, SECRET, Doors, furnish

pytestmark = pytest.mark.stack

Row = tuple[str, str, int, object]
EMPTY = 200
AGUI = {
    "threadId": "thread-language",
    "runId": "run",
    "messages": [],
    "resume": [{"interruptId": f"plan-language:{DIGEST}", "status": "resolved", "payload": {"approved": True}}],
}

TRUTH = {"model_name": "m", "version": 1, "labels": ["a"], "truth": ["a"]}
EDIT = {"digest": DIGEST, "steps": [{"id": "a", "tool": "leases.list", "agent": "provisioner", "summary": "s"}]}
VIEW = {"name": "words", "keys": [{"name": "word"}], "features": [{"name": "length"}], "timestamp": "seen_at"}
MONITOR = {"name": "words", "view": "words", "window_seconds": 60, "past": {"set_id": "s"}}

PIPELINE = "pipeline: murmurs\nsteps:\n  - id: one\n    argv: [/bin/true]\n"

MATRIX: list[Row] = [
    # what a caller of team vision with the role of an approver gets who asks for the other team's
    ("POST /v1/threads", "/v1/threads", 404, {"tenant": "language"}),
    ("GET /v1/threads", "/v1/threads", EMPTY, None),
    ("GET /v1/threads/{thread_id}", "/v1/threads/thread-language", 404, None),
    ("POST /v1/threads/{thread_id}/messages", "/v1/threads/thread-language/messages", 404, {"text": "hello"}),
    ("GET /v1/threads/{thread_id}/events", "/v1/threads/thread-language/events", 404, None),
    ("GET /v1/plans", "/v1/plans", EMPTY, None),
    ("GET /v1/plans", "/v1/plans?tenant=language", 404, None),
    ("GET /v1/plans/{plan_id}", "/v1/plans/plan-language", 404, None),
    ("POST /v1/plans/{plan_id}/approve", "/v1/plans/plan-language/approve", 404, {"digest": DIGEST}),
    ("POST /v1/plans/{plan_id}/refuse", "/v1/plans/plan-language/refuse", 404, {}),
    ("POST /v1/plans/{plan_id}/cancel", "/v1/plans/plan-language/cancel", 404, {}),
    ("GET /v1/policy", "/v1/policy", EMPTY, None),
    ("GET /v1/policy", "/v1/policy?tenant=language", 404, None),
    ("GET /v1/policy/text", "/v1/policy/text", 403, None),
    ("PUT /v1/policy", "/v1/policy", 403, {"text": "x", "revision": DIGEST}),
    ("POST /v1/policy/test", "/v1/policy/test", 404, {"plan_id": "plan-language"}),
    ("GET /v1/plans/{plan_id}/text", "/v1/plans/plan-language/text", 404, None),
    ("GET /v1/plans/{plan_id}/diagram", "/v1/plans/plan-language/diagram", 404, None),
    ("GET /v1/plans/{plan_id}/approvals", "/v1/plans/plan-language/approvals", 404, None),
    ("GET /v1/plans/{plan_id}/status", "/v1/plans/plan-language/status", 404, None),
    ("POST /v1/plans/{plan_id}/pause", "/v1/plans/plan-language/pause", 404, {}),
    ("POST /v1/plans/{plan_id}/resume", "/v1/plans/plan-language/resume", 404, None),
    ("PUT /v1/plans/{plan_id}", "/v1/plans/plan-language", 404, EDIT),
    ("POST /v1/plans/{plan_id}/undo", "/v1/plans/plan-language/undo", 404, {}),
    ("GET /v1/runs", "/v1/runs", EMPTY, None),
    ("GET /v1/runs", "/v1/runs?tenant=language", 404, None),
    ("GET /v1/runs/{run_id}", "/v1/runs/run-language", 404, None),
    ("POST /v1/runs/{run_id}/kill", "/v1/runs/run-language/kill", 404, {}),
    ("GET /v1/switch", "/v1/switch", EMPTY, None),
    ("PUT /v1/switch", "/v1/switch", 403, {"stopped": True}),
    ("POST /v1/plans/{plan_id}/rating", "/v1/plans/plan-language/rating", 404, {"score": 1}),
    ("GET /v1/lessons", "/v1/lessons", EMPTY, None),
    ("GET /v1/lessons", "/v1/lessons?tenant=language", 404, None),
    ("GET /v1/lessons/{lesson_id}", "/v1/lessons/L-language", 404, None),
    ("DELETE /v1/lessons/{lesson_id}", "/v1/lessons/L-language", 404, None),
    ("POST /v1/lessons/{lesson_id}/decide", "/v1/lessons/L-language/decide", 404, {"promote": True}),
    ("POST /v1/agui", "/v1/agui", 404, AGUI),
    ("GET /v1/me", "/v1/me", EMPTY, None),
    ("POST /v1/session", "/v1/session", 401, {"key": "ls_000000000000_" + "a" * 43}),
    ("DELETE /v1/session", "/v1/session", 204, None),
    ("GET /v1/tenants", "/v1/tenants", EMPTY, None),
    ("POST /v1/tenants", "/v1/tenants", 403, {"name": "language", "quota_slots": 1}),
    ("GET /v1/tenants/{tenant}", "/v1/tenants/language", 404, None),
    ("DELETE /v1/tenants/{tenant}", "/v1/tenants/language", 403, None),
    ("GET /v1/organisations", "/v1/organisations", EMPTY, None),
    ("POST /v1/organisations", "/v1/organisations", 403, {"name": "acme"}),
    ("GET /v1/organisations/{organisation}", "/v1/organisations/group-language", 404, None),
    ("PATCH /v1/organisations/{organisation}", "/v1/organisations/group-language", 403, {"title": "t"}),
    ("GET /v1/projects", "/v1/projects", EMPTY, None),
    ("GET /v1/projects", "/v1/projects?tenant=language", 404, None),
    ("POST /v1/projects", "/v1/projects", 404, {"tenant": "language", "name": "p"}),
    ("GET /v1/projects/{tenant}/{project}", "/v1/projects/language/project-language", 404, None),
    ("PATCH /v1/projects/{tenant}/{project}", "/v1/projects/language/project-language", 404, {"title": "t"}),
    ("DELETE /v1/projects/{tenant}/{project}", "/v1/projects/language/project-language", 404, None),
    ("GET /v1/members", "/v1/members", EMPTY, None),
    ("GET /v1/members", "/v1/members?tenant=language", 404, None),
    ("GET /v1/members", "/v1/members?organisation=group-language", EMPTY, None),
    ("POST /v1/members", "/v1/members", 403, {"tenant": "language", "subject": "oidc:ann"}),
    ("POST /v1/members", "/v1/members", 403, {"organisation": "group-language", "subject": "oidc:ann"}),
    ("DELETE /v1/members/{member_id}", "/v1/members/member-language", 404, None),
    ("GET /v1/permissions", "/v1/permissions", EMPTY, None),
    ("GET /v1/roles", "/v1/roles", EMPTY, None),
    ("GET /v1/roles", "/v1/roles?tenant=language", 404, None),
    ("POST /v1/roles", "/v1/roles", 403, {"tenant": "language", "name": "r", "permissions": ["jobs:read"]}),
    ("PATCH /v1/roles/{role_id}", "/v1/roles/role-language", 403, {"permissions": ["jobs:read"]}),
    ("DELETE /v1/roles/{role_id}", "/v1/roles/role-language", 403, None),
    ("GET /v1/accounts", "/v1/accounts", EMPTY, None),
    ("GET /v1/accounts", "/v1/accounts?tenant=language", 404, None),
    ("POST /v1/accounts", "/v1/accounts", 404, {"tenant": "language", "name": "a"}),
    ("POST /v1/accounts/{tenant}/{account}/keys", "/v1/accounts/language/account-language/keys", 404, {}),
    ("DELETE /v1/accounts/{tenant}/{account}", "/v1/accounts/language/account-language", 404, None),
    ("GET /v1/quotas", "/v1/quotas", EMPTY, None),
    ("GET /v1/quotas", "/v1/quotas?tenant=language", 404, None),
    ("PUT /v1/quotas", "/v1/quotas", 403, {"tenant": "language", "pool": "local", "slots_max": 1}),
    ("DELETE /v1/quotas", "/v1/quotas?tenant=language&pool=local", 403, None),
    ("GET /v1/audit", "/v1/audit", EMPTY, None),
    ("GET /v1/audit", "/v1/audit?tenant=language", 404, None),
    ("GET /v1/audit.csv", "/v1/audit.csv", EMPTY, None),
    ("GET /v1/audit.csv", "/v1/audit.csv?tenant=language", 404, None),
    ("GET /v1/audit.jsonl", "/v1/audit.jsonl", EMPTY, None),
    ("GET /v1/audit.jsonl", "/v1/audit.jsonl?tenant=language", 404, None),
    ("GET /v1/audit/verify", "/v1/audit/verify", 403, None),
    ("PATCH /v1/tenants/{tenant}", "/v1/tenants/language", 403, {"quota_slots": 0}),
    ("POST /v1/tenants/{tenant}/keys", "/v1/tenants/language/keys", 404, {"name": "k"}),
    ("POST /v1/keys", "/v1/keys", 404, {"name": "k", "tenant": "language"}),
    ("GET /v1/keys", "/v1/keys", EMPTY, None),
    ("GET /v1/keys", "/v1/keys?tenant=language", 404, None),
    ("POST /v1/keys/{key_id}/rotate", "/v1/keys/key-language/rotate", 404, {"overlap_seconds": 0}),
    ("DELETE /v1/keys/{key_id}", "/v1/keys/key-language", 404, None),
    ("GET /v1/limits", "/v1/limits", EMPTY, None),
    ("GET /v1/limits", "/v1/limits?key_id=key-language", EMPTY, None),
    ("GET /v1/limits", "/v1/limits?tenant=language", 404, None),
    ("PUT /v1/limits", "/v1/limits", 403, {"tenant": "language", "resource": "tokens", "window": "day", "cap": 1}),
    ("DELETE /v1/limits/{limit_id}", "/v1/limits/language:tokens:day", 403, None),
    ("GET /v1/invoices", "/v1/invoices", EMPTY, None),
    ("GET /v1/invoices", "/v1/invoices?tenant=language", 404, None),
    ("GET /v1/invoices.csv", "/v1/invoices.csv", EMPTY, None),
    ("GET /v1/invoices.csv", "/v1/invoices.csv?tenant=language", 404, None),
    ("GET /v1/costs/allocation", "/v1/costs/allocation?by=team,plan", EMPTY, None),
    ("GET /v1/costs/allocation", "/v1/costs/allocation?tenant=language", 404, None),
    ("GET /v1/costs/idle", "/v1/costs/idle?rule=use", EMPTY, None),
    ("GET /v1/costs/idle", "/v1/costs/idle?tenant=language", 404, None),
    ("GET /v1/costs/focus.csv", "/v1/costs/focus.csv", EMPTY, None),
    ("GET /v1/costs/focus.csv", "/v1/costs/focus.csv?tenant=language", 404, None),
    ("GET /v1/costs/focus.parquet", "/v1/costs/focus.parquet", EMPTY, None),
    ("GET /v1/costs/focus.parquet", "/v1/costs/focus.parquet?tenant=language", 404, None),
    ("GET /v1/costs/findings", "/v1/costs/findings?every=true", EMPTY, None),
    ("GET /v1/costs/findings", "/v1/costs/findings?tenant=language", 404, None),
    ("POST /v1/costs/findings/{finding_id}/fix", "/v1/costs/findings/f-language/fix", 404, {}),
    ("POST /v1/costs/findings/{finding_id}/dismiss", "/v1/costs/findings/f-language/dismiss", 404, {"reason": "r"}),
    ("GET /v1/costs/budgets", "/v1/costs/budgets", EMPTY, None),
    ("GET /v1/costs/budgets", "/v1/costs/budgets?tenant=language", 404, None),
    ("GET /v1/costs/capacity", "/v1/costs/capacity", EMPTY, None),
    ("POST /v1/costs/mix", "/v1/costs/mix", 422, {"days": 0}),
    ("GET /v1/accelerators", "/v1/accelerators", EMPTY, None),
    ("GET /v1/accelerators/offers", "/v1/accelerators/offers", EMPTY, None),
    ("GET /v1/leases", "/v1/leases?active=false", EMPTY, None),
    ("GET /v1/leases", "/v1/leases?tenant=language", 404, None),
    ("GET /v1/leases/{lease_id}", "/v1/leases/lease-language", 404, None),
    ("GET /v1/leases/{lease_id}/why", "/v1/leases/lease-language/why", 404, None),
    ("POST /v1/scheduling/foresee", "/v1/scheduling/foresee", 404, {"tenant": "language", "slots": 1}),
    ("GET /v1/clusters", "/v1/clusters", EMPTY, None),
    ("GET /v1/clusters", "/v1/clusters?tenant=language", 404, None),
    ("GET /v1/clusters/{cluster_id}", "/v1/clusters/fleet-language", 404, None),
    ("POST /v1/clusters/template", "/v1/clusters/template", 404, {"pool": "elsewhere", "machine": "p5.48xlarge"}),
    ("GET /v1/cluster-findings", "/v1/cluster-findings", EMPTY, None),
    ("GET /v1/cluster-findings", "/v1/cluster-findings?tenant=language", 404, None),
    ("POST /v1/cluster-findings/reconcile", "/v1/cluster-findings/reconcile", 403, {}),
    ("GET /v1/vms", "/v1/vms", EMPTY, None),
    ("GET /v1/vms", "/v1/vms?tenant=language", 404, None),
    ("GET /v1/vms/{vm_id}", "/v1/vms/lease-language", 404, None),
    ("POST /v1/vms/{vm_id}/ssh", "/v1/vms/lease-language/ssh", 404, {"key_name": "k"}),
    ("GET /v1/pools", "/v1/pools", EMPTY, None),
    ("GET /v1/pools/{name}", "/v1/pools/local", EMPTY, None),
    ("GET /v1/jobs", "/v1/jobs", EMPTY, None),
    ("GET /v1/jobs", "/v1/jobs?tenant=language", 404, None),
    ("GET /v1/jobs/{job_id}", "/v1/jobs/job-language", 404, None),
    ("GET /v1/jobs/{job_id}/why", "/v1/jobs/job-language/why", 404, None),
    ("GET /v1/jobs/{job_id}/logs", "/v1/jobs/job-language/logs", 404, None),
    ("GET /v1/jobs/{job_id}/tasks", "/v1/jobs/job-language/tasks", 404, None),
    ("POST /v1/jobs/{job_id}/cancel", "/v1/jobs/job-language/cancel", 404, None),
    ("GET /v1/registry/versions", "/v1/registry/versions", EMPTY, None),
    ("GET /v1/registry/versions", "/v1/registry/versions?tenant=language", 404, None),
    ("GET /v1/catalog", "/v1/catalog", EMPTY, None),
    ("GET /v1/catalog", "/v1/catalog?tenant=language", 404, None),
    ("GET /v1/catalog", "/v1/catalog?team=language", EMPTY, None),
    ("GET /v1/catalog", "/v1/catalog?q=anything&tenant=language", 404, None),
    ("POST /v1/catalog", "/v1/catalog", 404, {"tenant": "language", "kind": "service", "name": "n"}),
    ("PATCH /v1/catalog/{entry_id}", "/v1/catalog/model/language/m/1", 404, {"visibility": "shared"}),
    ("DELETE /v1/catalog/{entry_id}", "/v1/catalog/model/language/m/1", 404, None),
    ("GET /v1/documents/{entry_id}", "/v1/documents/document/language/d", 404, None),
    ("GET /v1/lineage", "/v1/lineage?node=run/abc", EMPTY, None),
    ("GET /v1/lineage", "/v1/lineage?node=run/abc&tenant=language", 404, None),
    ("POST /v1/catalog-uses", "/v1/catalog-uses", 404, {"entry_id": "model/language/m/1", "key": "k"}),
    ("GET /v1/access-requests", "/v1/access-requests", EMPTY, None),
    ("GET /v1/access-requests", "/v1/access-requests?tenant=language", 404, None),
    ("GET /v1/access-requests/{request_id}", "/v1/access-requests/access-language", 404, None),
    ("POST /v1/access-requests", "/v1/access-requests", 404, {"entry_id": "model/language/m/1", "reason": "r"}),
    ("POST /v1/access-requests/share", "/v1/access-requests/share", 404, {"entry_id": "model/language/m/1", "team": "vision"}),
    ("POST /v1/access-requests/{request_id}/approve", "/v1/access-requests/access-language/approve", 404, {}),
    ("POST /v1/access-requests/{request_id}/refuse", "/v1/access-requests/access-language/refuse", 404, {}),
    ("POST /v1/access-requests/{request_id}/revoke", "/v1/access-requests/access-language/revoke", 404, {}),
    ("POST /v1/access-requests/{request_id}/withdraw", "/v1/access-requests/access-language/withdraw", 404, {}),
    ("GET /v1/catalog/{entry_id}", "/v1/catalog/model/language/m/1", 404, None),
    ("GET /v1/catalog/{entry_id}", "/v1/catalog/model/language/m/1?tenant=language", 404, None),
    ("GET /v1/ledger", "/v1/ledger", EMPTY, None),
    ("GET /v1/ledger", "/v1/ledger?plan_id=plan-language", EMPTY, None),
    ("GET /v1/ledger", "/v1/ledger?tenant=language", 404, None),
    ("GET /v1/cost", "/v1/cost?plan_id=plan-language", EMPTY, None),
    ("GET /v1/cost", "/v1/cost?tenant=language", 404, None),
    ("GET /v1/reconciliation", "/v1/reconciliation", 403, None),
    ("GET /v1/books", "/v1/books", 403, None),
    ("GET /v1/tenants/{tenant}/retention", "/v1/tenants/language/retention", 404, None),
    ("PUT /v1/tenants/{tenant}/retention", "/v1/tenants/language/retention", 404, {"days": None}),
    ("GET /v1/transcripts", "/v1/transcripts", EMPTY, None),
    ("GET /v1/transcripts", "/v1/transcripts?tenant=language", 404, None),
    ("GET /v1/transcripts/{transcript_id}", "/v1/transcripts/call-language", 404, None),
    ("GET /v1/transcripts/{transcript_id}", "/v1/transcripts/call-language?tenant=language", 404, None),
    ("DELETE /v1/transcripts/{transcript_id}", "/v1/transcripts/call-language", 404, None),
    ("GET /v1/endpoints", "/v1/endpoints", EMPTY, None),
    ("GET /v1/endpoints", "/v1/endpoints?tenant=language", 404, None),
    ("GET /v1/endpoints/{tenant}/{name}", "/v1/endpoints/language/reader", 404, None),
    ("GET /v1/endpoints/{tenant}/{name}", "/v1/endpoints/vision/reader", 404, None),
    ("POST /v1/endpoints/{tenant}/{name}/predict", "/v1/endpoints/language/reader/predict", 404, {"rows": [[1.0]]}),
    ("POST /v1/endpoints/{tenant}/{name}/feedback", "/v1/endpoints/language/reader/feedback", 404, TRUTH),
    ("GET /v1/endpoints/{tenant}/{name}/health", "/v1/endpoints/language/reader/health", 404, None),
    ("GET /v1/endpoints/{tenant}/{name}/scaling", "/v1/endpoints/language/reader/scaling", 404, None),
    ("GET /v1/endpoints/{tenant}/{name}/consent", "/v1/endpoints/language/reader/consent", 404, None),
    ("PUT /v1/endpoints/{tenant}/{name}/consent", "/v1/endpoints/language/reader/consent", 404, {"days": 1}),
    ("GET /v1/endpoints/{tenant}/{name}/requests", "/v1/endpoints/language/reader/requests", 404, None),
    ("POST /v1/endpoints/{tenant}/{name}/vllm", "/v1/endpoints/language/reader/vllm", 404, {"model": "a/b", "pool": "local"}),
    ("GET /v1/rollouts", "/v1/rollouts", EMPTY, None),
    ("GET /v1/rollouts", "/v1/rollouts?tenant=language", 404, None),
    ("GET /v1/rollouts/{rollout_id}", "/v1/rollouts/ro-language", 404, None),
    ("POST /v1/rollouts/{rollout_id}/pause", "/v1/rollouts/ro-language/pause", 404, {}),
    ("POST /v1/rollouts/{rollout_id}/resume", "/v1/rollouts/ro-language/resume", 404, {}),
    ("POST /v1/rollouts/{rollout_id}/abort", "/v1/rollouts/ro-language/abort", 404, {}),
    ("POST /v1/plans", "/v1/plans", 404, {"title": "t", "tenant": "language", "steps": [{"id": "a", "tool": "leases.list"}]}),
    ("POST /v1/plans", "/v1/plans", 404, {"title": "t", "thread_id": "thread-language", "steps": [{"id": "a", "tool": "leases.list"}]}),
    ("GET /v1/tools", "/v1/tools?limit=500", EMPTY, None),
    ("GET /v1/tools", "/v1/tools?tenant=language", 404, None),
    ("GET /v1/tools/{name}", "/v1/tools/mcp.language-tools.now", 404, None),
    ("POST /v1/tools/{name}/call", "/v1/tools/leases.list/call", 404, {"tenant": "language"}),
    ("POST /v1/tools/{name}/call", "/v1/tools/mcp.language-tools.now/call", 404, {}),
    ("POST /v1/tool-servers", "/v1/tool-servers", 403, {"name": "mine", "url": "https://example.com/mcp"}),
    ("GET /v1/tool-servers", "/v1/tool-servers", 403, None),
    ("GET /v1/tool-servers/{name}", "/v1/tool-servers/language-tools", 403, None),
    ("POST /v1/tool-servers/{name}/review", "/v1/tool-servers/language-tools/review", 403, None),
    ("POST /v1/tool-servers/{name}/approve", "/v1/tool-servers/language-tools/approve", 403, {"digest": DIGEST}),
    ("DELETE /v1/tool-servers/{name}", "/v1/tool-servers/language-tools", 403, None),
    ("POST /v1/twin/what-if", "/v1/twin/what-if", 404, {"changes": [{"change": "work", "team": "language", "slots": 1, "seconds": 60}]}),
    ("POST /v1/twin/what-if", "/v1/twin/what-if", 404, {"changes": [{"change": "without", "lease_id": "lease-language"}]}),
    ("GET /v1/validation/nodes", "/v1/validation/nodes", EMPTY, None),
    ("GET /v1/validation/burn-ins", "/v1/validation/burn-ins?pool=local", 403, None),
    ("GET /v1/validation/stacks", "/v1/validation/stacks", 403, None),
    ("DELETE /v1/validation/nodes", "/v1/validation/nodes?pool=local", 403, None),
    ("POST /v1/nodes/{pool}/{name}/heartbeat", "/v1/nodes/local/gpu-1/heartbeat", 403, {}),
    ("POST /v1/nodes/{pool}/{name}/events", "/v1/nodes/local/gpu-1/events", 403, {"events": []}),
    ("GET /v1/nodes", "/v1/nodes", EMPTY, None),
    ("GET /v1/nodes/{pool}/{name}", "/v1/nodes/local/gpu-1", 404, None),
    ("GET /v1/reliability", "/v1/reliability", EMPTY, None),
    ("POST /v1/isolation/audits", "/v1/isolation/audits", 403, {"victim": "language"}),
    ("GET /v1/isolation/audits", "/v1/isolation/audits", 403, None),
    ("GET /v1/studies", "/v1/studies", EMPTY, None),
    ("GET /v1/studies", "/v1/studies?tenant=language", 404, None),
    ("GET /v1/studies/{study_id}", "/v1/studies/study-language", 404, None),
    ("GET /v1/studies/{study_id}/trials", "/v1/studies/study-language/trials", 404, None),
    ("POST /v1/studies/{study_id}/stop", "/v1/studies/study-language/stop", 404, {}),
    ("GET /v1/training/runs", "/v1/training/runs?tenant=language", 404, None),
    ("GET /v1/training/runs/{run_id}", f"/v1/training/runs/{'a' * 32}?tenant=language", 404, None),
    ("GET /v1/training/compare", "/v1/training/compare?run_id=a&run_id=b&tenant=language", 404, None),
    ("GET /v1/training/blueprints", "/v1/training/blueprints", EMPTY, None),
    ("GET /v1/training/blueprints/{name}", "/v1/training/blueprints/ddp", EMPTY, None),
    ("GET /v1/training/environments", "/v1/training/environments", EMPTY, None),
    ("GET /v1/kpis", "/v1/kpis", 403, None),
    ("GET /v1/kpis/{name}", "/v1/kpis/gpu_occupancy", 403, None),
    ("GET /v1/kpis/alerts", "/v1/kpis/alerts", 403, None),
    ("GET /v1/kpis/counterfactuals", "/v1/kpis/counterfactuals", 403, None),
    ("POST /v1/kpis/counterfactuals", "/v1/kpis/counterfactuals", 403, {"name": "n", "currency": "EUR", "hourly": {"cpu": 1.0}}),
    ("POST /v1/kpis/rebuild", "/v1/kpis/rebuild", 403, {}),
    ("GET /v1/isolation/audits/{audit_id}", "/v1/isolation/audits/audit-1", 403, None),
    ("GET /v1/isolation/walls", "/v1/isolation/walls", EMPTY, None),
    ("GET /v1/isolation/walls", "/v1/isolation/walls?tenant=language", 404, None),
    ("GET /v1/datasets", "/v1/datasets", EMPTY, None),
    ("GET /v1/datasets", "/v1/datasets?tenant=language", 404, None),
    ("GET /v1/datasets/{name}/versions", "/v1/datasets/murmurs/versions", 404, None),
    ("POST /v1/datasets/{name}/versions", "/v1/datasets/murmurs/versions?tenant=language", 404, {"text": "a\n1\n"}),
    ("PUT /v1/datasets/{name}/uploads/{upload}/{part}", f"/v1/datasets/w/uploads/{DIGEST}/0?tenant=language", 404, {"content": "YQ=="}),
    ("GET /v1/datasets/{name}/versions/{version}", "/v1/datasets/murmurs/versions/1", 404, None),
    ("GET /v1/datasets/{name}/versions/{version}/rows", "/v1/datasets/murmurs/versions/1/rows", 404, None),
    ("GET /v1/datasets/{name}/versions/{version}/export.csv", "/v1/datasets/murmurs/versions/1/export.csv", 404, None),
    ("GET /v1/pipelines", "/v1/pipelines", EMPTY, None),
    ("GET /v1/pipelines", "/v1/pipelines?tenant=language", 404, None),
    ("POST /v1/pipelines", "/v1/pipelines?tenant=language", 404, {"text": PIPELINE}),
    ("POST /v1/pipelines/check", "/v1/pipelines/check", EMPTY, {"text": PIPELINE}),
    ("GET /v1/pipelines/{name}", "/v1/pipelines/murmurs", 404, None),
    ("GET /v1/pipelines/{name}/versions", "/v1/pipelines/murmurs/versions", 404, None),
    ("DELETE /v1/pipelines/{name}", "/v1/pipelines/murmurs", 404, None),
    ("POST /v1/pipelines/{name}/approve", "/v1/pipelines/murmurs/approve", 404, {"digest": DIGEST}),
    ("POST /v1/pipelines/{name}/runs", "/v1/pipelines/murmurs/runs", 404, {"key": "k"}),
    ("GET /v1/pipelines/{name}/triggers", "/v1/pipelines/murmurs/triggers", 404, None),
    ("POST /v1/pipelines/{name}/triggers", "/v1/pipelines/murmurs/triggers", 404, {"name": "t", "kind": "push"}),
    ("GET /v1/pipeline-triggers", "/v1/pipeline-triggers", EMPTY, None),
    ("GET /v1/pipeline-triggers", "/v1/pipeline-triggers?tenant=language", 404, None),
    ("GET /v1/pipeline-triggers/{trigger_id}", "/v1/pipeline-triggers/tr-language", 404, None),
    ("DELETE /v1/pipeline-triggers/{trigger_id}", "/v1/pipeline-triggers/tr-language", 404, None),
    ("GET /v1/pipeline-triggers/{trigger_id}/firings", "/v1/pipeline-triggers/tr-language/firings", 404, None),
    ("POST /v1/pipeline-triggers/{trigger_id}/rotate", "/v1/pipeline-triggers/tr-language/rotate", 404, {}),
    ("POST /v1/hooks/{trigger_id}", "/v1/hooks/tr-language", 401, {"ref": "refs/heads/main"}),
    ("GET /v1/pipeline-runs", "/v1/pipeline-runs", EMPTY, None),
    ("GET /v1/pipeline-runs", "/v1/pipeline-runs?tenant=language", 404, None),
    ("GET /v1/pipeline-runs/{run_id}", "/v1/pipeline-runs/pr-language", 404, None),
    ("GET /v1/pipeline-runs/{run_id}/approvals", "/v1/pipeline-runs/pr-language/approvals", 404, None),
    ("GET /v1/pipeline-runs/{run_id}/steps/{step}/files/{file}", "/v1/pipeline-runs/pr-language/steps/one/files/a.txt", 404, None),
    ("POST /v1/pipeline-runs/{run_id}/approve", "/v1/pipeline-runs/pr-language/approve", 404, {"digest": DIGEST}),
    ("POST /v1/pipeline-runs/{run_id}/refuse", "/v1/pipeline-runs/pr-language/refuse", 404, {}),
    ("POST /v1/pipeline-runs/{run_id}/cancel", "/v1/pipeline-runs/pr-language/cancel", 404, {}),
    ("POST /v1/pipeline-runs/{run_id}/rerun", "/v1/pipeline-runs/pr-language/rerun", 404, {}),
    ("GET /v1/features/views", "/v1/features/views", EMPTY, None),
    ("GET /v1/features/views", "/v1/features/views?tenant=language", 404, None),
    ("POST /v1/features/views", "/v1/features/views?tenant=language", 404, VIEW),
    ("GET /v1/features/views/{name}", "/v1/features/views/words?tenant=language", 404, None),
    ("DELETE /v1/features/views/{name}", "/v1/features/views/words?tenant=language&version=1", 404, None),
    ("POST /v1/features/views/{name}/rows", "/v1/features/views/words/rows?tenant=language", 404, {"rows": [{}], "key": "k"}),
    ("POST /v1/features/views/{name}/read", "/v1/features/views/words/read?tenant=language", 404, {"entities": [{"word": "w"}]}),
    ("POST /v1/features/views/{name}/materialise", "/v1/features/views/words/materialise?tenant=language", 404, None),
    ("GET /v1/features/training-sets", "/v1/features/training-sets", EMPTY, None),
    ("GET /v1/features/training-sets", "/v1/features/training-sets?tenant=language", 404, None),
    ("POST /v1/features/training-sets", "/v1/features/training-sets?tenant=language", 404, {"key": "k", "spec": {"features": ["words"]}}),
    ("GET /v1/features/training-sets/{set_id}", "/v1/features/training-sets/set-language", 404, None),
    ("GET /v1/features/training-sets/{set_id}", "/v1/features/training-sets/set-language?tenant=language", 404, None),
    ("GET /v1/features/training-sets/{set_id}/rows", "/v1/features/training-sets/set-language/rows", 404, None),
    ("GET /v1/features/monitors", "/v1/features/monitors", EMPTY, None),
    ("GET /v1/features/monitors", "/v1/features/monitors?tenant=language", 404, None),
    ("GET /v1/features/monitors/{name}", "/v1/features/monitors/words?tenant=language", 404, None),
    ("PUT /v1/features/monitors/{name}", "/v1/features/monitors/words?tenant=language", 404, {"spec": MONITOR}),
    ("DELETE /v1/features/monitors/{name}", "/v1/features/monitors/words?tenant=language", 404, None),
    ("POST /v1/features/monitors/{name}/check", "/v1/features/monitors/words/check?tenant=language", 404, None),
    ("GET /v1/features/monitors/{name}/checks", "/v1/features/monitors/words/checks?tenant=language", 404, None),
    ("GET /v1/features/alerts", "/v1/features/alerts", EMPTY, None),
    ("GET /v1/features/alerts", "/v1/features/alerts?tenant=language", 404, None),
    ("GET /v1/links", "/v1/links", EMPTY, None),
    ("GET /v1/metrics", "/v1/metrics", EMPTY, None),
]
BY_WORKFLOW = {"GET /v1/plans/{plan_id}/status"}
"""Routes that a workflow answers, which does not run here."""
WITHOUT_ANY = {
    "/v1/jobs/job-language/tasks",
    "/v1/leases/lease-language",
    "/v1/leases/lease-language/why",
    "/v1/vms/lease-language",
    "/v1/vms?tenant=language",
}
"""Paths that answer their owner with nothing here: the job is no array, and a lease's id is made from its key (a test of its own)."""
WITHOUT_ANY |= {"/v1/clusters?tenant=language", "/v1/clusters/fleet-language", "/v1/cluster-findings?tenant=language"}  # test_clusters.py
WITHOUT_ANY |= {path for _, path, *_ in MATRIX if path.startswith("/v1/features/")}  # test_features.py
WITHOUT_ANY |= {"/v1/costs/findings?tenant=language"}  # test_optimization.py
WITHOUT_ANY |= {"/v1/members?organisation=group-language"}  # only for who administers it: test_structure.py
WITHOUT_ANY |= {path for _, path, *_ in MATRIX if path.startswith("/v1/training/")}  # no tracking server runs here: test_runs.py
WITHOUT_ANY |= {"/v1/pipeline-runs/pr-language/steps/one/files/a.txt"}  # no file stands behind the row: test_pipelines.py
OF_A_NAMED_TEAM = {"/v1/transcripts/call-language"}
"""Paths for which an administrator must name the team as well; another row does."""
WITHOUT_TEAMS = {"GET /v1/health", "GET /v1/prices", "GET /v1/sign-in", "GET /v1/sign-in/provider", "GET /v1/sign-in/callback"}
"""Routes that know no team."""
UNLISTED = {"GET /v1/metrics"}
"""Routes that the OpenAPI document leaves out."""


def routes(doors: Doors) -> set[str]:
    paths = doors.app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} | UNLISTED


async def test_every_route_has_a_row(doors: Doors) -> None:
    assert routes(doors) - WITHOUT_TEAMS == {row[0] for row in MATRIX}


async def ended(factory: Factory) -> None:
    """Wait for the end of the other team's job: what changes by itself is no sign."""
    for _ in range(600):
        if (await factory.jobs.get("job-language", "language")).state.final:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the job does not end")


async def test_nothing_of_another_team_is_seen_or_changed(doors: Doors) -> None:
    await furnish(doors.factory)
    await ended(doors.factory)
    before = await state(doors.factory)
    wrong = []
    for route, path, status, body in MATRIX:
        answer = await doors.ask(route.partition(" ")[0], path, "approver", json=body)
        seen = answer.text.lower().replace(path.lower(), "")
        if answer.status_code != status or SECRET in seen or (status == EMPTY and "language" in seen):
            wrong.append((route, path, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert await state(doors.factory) == before


async def test_absent_and_foreign_are_answered_alike(doors: Doors) -> None:
    await furnish(doors.factory)
    for route, path, status, body in MATRIX:
        if status != 404 or "language" not in path:
            continue
        told = []
        for asked in (path, path.replace("language", "elsewhere")):
            answer = await doors.ask(route.partition(" ")[0], asked, "approver", json=body)
            told.append((answer.status_code, answer.text.replace("elsewhere", "language")))
        assert told[0] == told[1], path


async def test_control_the_other_team_and_an_administrator_see_it(doors: Doors) -> None:
    await furnish(doors.factory)
    for who in ("stranger", "admin"):
        blind = []
        for route, path, status, _ in MATRIX:
            asked = route.startswith("GET") and route not in BY_WORKFLOW
            if not asked or status not in {EMPTY, 404} or "q=" in path or "language" not in path:
                continue
            if path in WITHOUT_ANY or (who == "admin" and path in OF_A_NAMED_TEAM):
                continue
            answer = await doors.ask("GET", path, who)
            if answer.status_code != 200 or not answer.text.strip("[] \n"):
                blind.append((who, path, answer.status_code, answer.text[:200]))
        assert blind == [], blind


async def test_a_lease_is_its_teams_own(doors: Doors) -> None:
    await furnish(doors.factory)
    path = f"/v1/leases/{lease_id('language')}"
    seen = {who: (await doors.ask("GET", path, who)).status_code for who in ("approver", "stranger", "admin")}
    assert seen == {"approver": 404, "stranger": 200, "admin": 200}


async def state(factory: Factory) -> list[object]:
    """What another team's caller must not change."""
    plan = await factory.records.plan("plan-language", None)
    job = await factory.jobs.get("job-language", "language")
    events = await factory.records.read_events("thread-language")
    bound: list[object] = [
        await factory.tenants.keys("language"),
        await factory.limits.list("language"),
        await factory.transcripts.list("language"),
    ]
    bound += [await factory.rollouts.list("language"), await factory.request_log.consent("language", "reader")]
    return [plan, job.state.final, events, await factory.tenants.get("language"), await factory.leases.list("language"), *bound]
