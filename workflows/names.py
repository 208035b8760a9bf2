"""Names that doors and the worker share."""

TASK_QUEUE = "lineshaft"
