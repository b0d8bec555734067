export { EVENT_COLUMNS, EventColumns, type EventRow } from './event-columns.ts';
export { HINTS } from './hints.ts';
export { type Plan, type PlannedField, typeName } from './plan.ts';
