export { type EventRows, eventBlock } from './event-block.ts';
export { EVENT_COLUMNS, EventColumns, type EventRow } from './event-columns.ts';
export { HINTS } from './hints.ts';
export { type Plan, type PlannedField, typeName } from './plan.ts';
export {
  columnType,
  EVENT_BLOCK_STORED,
  EVENT_BLOCK_STRUCTURE,
  type StoredColumn,
  storedColumns,
} from './table-columns.ts';
