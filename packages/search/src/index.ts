export { readSearch, SEARCH_CHARACTERS_MAX, SEARCH_CONDITIONS_MAX, SEARCH_DEPTH_MAX } from './read-search.ts';
export { type BoundCondition, conditionOf, necessaryOf } from './search-condition.ts';
export { ALIASES, FIELDS, type SearchField, TEXT_FIELDS } from './search-fields.ts';
export { SearchMistake } from './search-mistake.ts';
export type { Comparison, Condition, PatternPiece, SearchQuery, Value } from './search-query.ts';
export { readTime, type TimeSpan } from './time-expression.ts';
export { writeSearch } from './write-search.ts';
