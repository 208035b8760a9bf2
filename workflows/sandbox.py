"""The sandbox that workflow files run in: they are re-imported for each run, what is heavy is passed through."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    "agents",
    "tools",
    "factory_infra",
    "workflows.graphs",
    "workflows.messages",
    "workflows.reconciling",
    "workflows.failures",
    "langchain_core",
    "langgraph",
    "langsmith",
    "numpy",
    "pydantic",
    "pydantic_core",
    "xxhash",
    "orjson",
    "ormsgpack",
    "sqlalchemy",
    "psycopg",
    "httpx",
    "yaml",
    "structlog",
    "annotated_types",
    "typing_extensions",
)


def sandbox() -> SandboxedWorkflowRunner:
    """Re-import only the workflow files at each run; what is heavy or holds the registered graphs is passed through."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
