export { FUNCTIONS, type SqlFunction } from './functions.ts';
export { STATEMENT_CHARACTERS_MAX } from './read-tokens.ts';
export { SqlMistake } from './sql-mistake.ts';
export { type AnalystTables, STATEMENT_DEPTH_MAX, writeStatement } from './write-statement.ts';
