export { COPY_SETTINGS, copiedFirst, copyInsert, copyName } from './copy-form.ts';
export { DAY_MS, type Day, dayOf, daysWithin, startOf } from './day.ts';
export { CALL_IDENTITY, type IdParts, idsOf } from './id-parts.ts';
export { type ColdPlan, mayHold, planCold, type Segment } from './plan-cold.ts';
export { type HotDays, type RestoredDay, restoredDaysFor, segmentsPerDay } from './plan-hot.ts';
export {
  byPlace,
  checkQuestion,
  type EventPlace,
  FILTER_COLUMNS,
  type FilterColumn,
  LIMIT_MAX,
  OVER,
  type Over,
  type Question,
  type QuestionCondition,
  VALUES_MAX,
} from './question.ts';
export { type Database, readHotDays } from './read-hot-days.ts';
export {
  type Answer,
  type Archive,
  type FoundEvent,
  type Store,
  searchEvents,
} from './search-events.ts';
export { rowsOfSegment, StreamHeads } from './segment-rows.ts';
export {
  ABOUT_CALLS,
  FEW_ROWS_SETTINGS,
  KNOWN_SESSION_COLUMNS,
  ROW_SETTINGS,
  SESSION_COLUMNS,
} from './session-columns.ts';
export {
  ANSWER_FIELDS,
  ANSWER_SETTINGS,
  avroSource,
  behindPlace,
  COPY_STRUCTURE,
  type Collections,
  copySource,
  eventsIn,
  eventsWithLeaf,
  HOT,
  RESTORED,
  type Source,
  type Statement,
} from './statements.ts';
