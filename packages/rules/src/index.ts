export {
  type History,
  HOUR,
  hourOfWeek,
  type Judgement,
  judgeVolume,
  WEEK,
} from './baseline.ts';
export { type BelievedTimes, believedTime } from './believed-time.ts';
export { continueEpisode, episodeSpan, episodesOf } from './episode.ts';
export { fieldNames } from './field.ts';
export {
  type BatchFolder,
  createFolder,
  type FoldedBatch,
  type Folding,
  foldBatch,
  foldFirings,
  type Match,
} from './fold-batch.ts';
export {
  closesNext,
  historyIn,
  judgeBaseline,
  judgeClosed,
  judgeWindow,
  type WindowView,
} from './judge-window.ts';
export {
  BASELINE_ROWS_MAX,
  type BaselineQuestion,
  baselineAdditions,
  baselineQuestions,
  hourBegun,
} from './learn-baseline.ts';
export {
  createEvaluator,
  createMemoryWindows,
  type Evaluator,
  type HistoryOf,
  type MemoryWindows,
  type Outcome,
} from './memory-windows.ts';
export { type RuleMistake, ruleMistakeText } from './mistake.ts';
export { MODIFIERS } from './modifiers.ts';
export { type RuleFile, type RuleOptions, type RuleReading, readRules } from './read-rules.ts';
export type {
  BaselineTerms,
  Correlation,
  CorrelationSource,
  Detection,
  FieldName,
  Level,
  Micros,
  Rule,
  RuleEvent,
  RuleHead,
  RuleSet,
} from './rule.ts';
export { runSamples, type SampleFile, type SampleResult } from './samples.ts';
export { eventOfRow, NOT_IN_TABLE, tableColumns } from './table-events.ts';
export {
  type Cell,
  type Episode,
  EVIDENCE_MAX,
  type Firing,
  keptSpan,
  mergeCells,
  trimCells,
  type WindowAddition,
  windowKey,
} from './window.ts';
