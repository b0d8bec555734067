import { FIELDS } from '@cairn/search';
import type { AnalystTables } from '@cairn/sql';

/** Columns of analysts' tables: ids and hashes as texts, times as times. What is sealed or signs is not among them. */
const COLUMNS = [...FIELDS.values()]
  .map(({ name, kind }) => {
    if (kind === 'id') return `toString(${name}) AS ${name}`;
    return kind === 'hash' ? `lower(hex(${name})) AS ${name}` : name;
  })
  .join(', ');

const CALLS = `kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')`;

/** Name of the parameter that binds them. */
export const ORG_PARAMETER = 'cairn_org';

/** @param from the table; tests ask another one beside it. */
export const analystTables = (from = 'cairn.events'): AnalystTables =>
  new Map([
    ['events', `(SELECT ${COLUMNS} FROM ${from} WHERE org_id = {${ORG_PARAMETER}:String})`],
    ['calls', `(SELECT ${COLUMNS} FROM ${from} WHERE org_id = {${ORG_PARAMETER}:String} AND ${CALLS})`],
  ]);
