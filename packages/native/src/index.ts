export { EVENT_COLUMNS, type EventBlock, type EventRow, type EventRows, eventBlock } from './event-block.ts';
export { HINTS } from './hints.ts';
export { type Plan, type PlannedField, typeName } from './plan.ts';
