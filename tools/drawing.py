"""A plan as a person reads it: plain text, and a diagram in Mermaid's language."""

from tools.plan import Plan, Step, references


def text_of(plan: Plan) -> str:
    """The plan in lines of plain text: what, in which order, at what price, with which undo, and what policy says."""
    project = f", project {plan.project}" if plan.project else ""
    lines = [f"{plan.title}  (team {plan.tenant}{project}, plan {plan.id}, revision {plan.revision})"]
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"{number}. [{step.effect}] {step.agent}: {step.summary}")
        lines.append(f"   {step.tool}({', '.join(f'{name}={value}' for name, value in step.arguments.items())})")
        lines += [f"   {name}: {said}" for name, said in details(step)]
        if step.dry_run is not None and step.dry_run.template:
            lines += ["   template:", *(f"     {line}" for line in step.dry_run.template.splitlines())]
    lines.append(f"price: {plan.price.low:.4f} to {plan.price.high:.4f} {plan.price.currency}")
    lines += [f"note: {note}" for note in plan.notes]
    if plan.verdict is not None:
        lines.append(f"policy {plan.verdict.policy}: {plan.verdict.decision}, {plan.verdict.approvals} approvals by {plan.verdict.role}")
        lines += [f"  {reason}" for reason in plan.verdict.reasons]
    return "\n".join(lines)


def details(step: Step) -> list[tuple[str, str]]:
    """What else is known of a step, each with its name; what is not known is left out."""
    run, price = step.dry_run, step.price
    found = [
        ("after", ", ".join(sorted({*step.after, *references(step)}))),
        ("holds afterwards", step.postcondition),
        ("undo", step.undo),
        ("dry run", "; ".join(part for part in (run.quota, run.reason) if part) if run is not None else ""),
        ("starts in", f"{run.starts_in_seconds:g} s" if run is not None and run.starts_in_seconds is not None else ""),
        ("price", f"{price.low:.4f} to {price.high:.4f} {price.currency} ({price.basis})" if price is not None and price.high else ""),
    ]
    return [(name, said) for name, said in found if said]


def diagram_of(plan: Plan) -> str:
    """The plan as a Mermaid flow chart: an arrow for each order, dashed where a result is taken."""
    lines = ["flowchart TD"]
    names = {step.id: f"s{number}" for number, step in enumerate(plan.steps)}
    for step in plan.steps:
        label = f"{step.id}: {step.tool}".replace('"', "'")
        shape = f'{{"{label}"}}' if step.gate else f'["{label}"]'
        lines.append(f"  {names[step.id]}{shape}:::{step.effect}")
    for step in plan.steps:
        taken = references(step)
        lines += [f"  {names[name]} --> {names[step.id]}" for name in step.after if name in names and name not in taken]
        lines += [f"  {names[name]} -.-> {names[step.id]}" for name in sorted(taken) if name in names]
    lines += [f"  classDef {name} stroke:{colour},stroke-width:2px" for name, colour in COLOURS.items()]
    return "\n".join(lines)


COLOURS = {"read": "#888", "write": "#2b6cb0", "costly": "#b7791f", "destructive": "#c53030"}
