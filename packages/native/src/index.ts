export { EVENT_COLUMNS, type EventBlock, type EventRow, type EventRows, eventBlock } from './event-block.ts';
export { type Plan, type PlannedField, typeName } from './plan.ts';
export {
  columnType,
  EVENT_BLOCK_STORED,
  EVENT_BLOCK_STRUCTURE,
  type StoredColumn,
  storedColumns,
} from './table-columns.ts';
