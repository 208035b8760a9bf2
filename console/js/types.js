// The shapes that the API speaks, as far as the console reads them.

/** @typedef {{status: number, code: string, reason: string, remedy: string}} Problem */
/** @typedef {{name: string, role: "viewer"|"user"|"operator"|"approver"|"admin", tenant: string|null, permissions?: string[]|null, manages?: string[], teams?: string[], project?: string}} Me */
/** @typedef {{temporal_url: string|null, temporal_namespace: string, mlflow_url: string|null, model: string}} Links */
/** @typedef {{id: string, tenant: string|null, created_by: string, title: string, created_at: string}} Thread */
/** @typedef {{id: number, tenant: string|null, thread_id: string, plan_id: string, kind: string, payload: Record<string, any>, at: string}} FactoryEvent */
/** @typedef {{low: string, high: string, currency: string, basis: string}} Price */
/** @typedef {{feasible: boolean, reason: string, remedy: string, code: string, quota: string, starts_in_seconds: number|null}} DryRun */
/**
 * @typedef {object} Step
 * @property {string} id
 * @property {string} tool
 * @property {string} agent
 * @property {string} summary
 * @property {Record<string, any>} arguments
 * @property {"read"|"write"|"costly"|"destructive"} effect
 * @property {boolean} gate
 * @property {boolean} always
 * @property {string} postcondition
 * @property {string} undo
 * @property {DryRun|null} dry_run
 * @property {Price|null} price
 */
/**
 * @typedef {object} Plan
 * @property {string} id
 * @property {string} tenant
 * @property {string} requested_by
 * @property {string} title
 * @property {Step[]} steps
 * @property {Price} price
 * @property {string[]} notes
 * @property {string} planner
 * @property {string|null} expires_at
 */
/** @typedef {{currency: string, spent: string, reserved: string, lines: {unit: string, subject: string, quantity: string, quantity_out: string, amount: string}[]}} Cost */
/**
 * @typedef {object} Outcome
 * @property {string} state
 * @property {string[]} done
 * @property {string[]} skipped
 * @property {string[]} undone
 * @property {string[]} undo_failed
 * @property {Record<string, Record<string, any>>} results
 * @property {string} code
 * @property {string} reason
 * @property {string} remedy
 * @property {Cost} [cost]
 */
/** @typedef {{id: string, digest: string, state: string, document: Plan, outcome: Partial<Outcome>, decided_by: string|null}} PlanRecord */
/** @typedef {{title: string, url: string, run_url?: string}} Citation */
/** @typedef {{text: string, next_offset: number, complete: boolean}} LogChunk */

export {};
