import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { isFailure } from '@cairn/failure';
import { SqlMistake, STATEMENT_CHARACTERS_MAX, writeStatement } from '@cairn/sql';
import { z } from 'zod';
import { analystTables, ORG_PARAMETER } from './analyst-tables.ts';
import { cutTo, Refusal } from './problem.ts';
import { route } from './route.ts';

const SQL_ROWS_MAX = 10_000;

/** A careless statement ends itself and takes nobody with it. */
export const SQL_SETTINGS = {
  max_execution_time: 15,
  max_rows_to_read: 200_000_000,
  max_memory_usage: 1_000_000_000,
  max_result_rows: SQL_ROWS_MAX,
  max_result_bytes: 16_000_000,
  result_overflow_mode: 'throw',
  max_ast_elements: 20_000,
  max_subquery_depth: 32,
  output_format_json_quote_64bit_integers: 0,
  output_format_json_quote_denormals: 1,
} as const;

/** Errors that are settled before a row is read: their text can hold nothing of what was recorded. */
const STATIC_ERRORS = new Set([42, 43, 46, 47, 62, 179, 184, 207, 215, 386, 403]);
/** A limit was reached. */
const LIMIT_ERRORS = new Set([158, 159, 167, 168, 241, 307, 396]);

export const runSqlRoute = route({
  id: 'runSql',
  method: 'post',
  path: '/v1/sql',
  summary: 'A SELECT over the tables `events` and `calls`, which hold the events of your organisation alone.',
  roles: ['analyst'],
  scope: 'sql',
  recorded: ['audit_access', 'sql/run'],
  isHeavy: true,
  body: z.strictObject({ query: z.string().min(1).max(STATEMENT_CHARACTERS_MAX) }),
  response: z
    .object({
      columns: z.array(z.object({ name: z.string(), type: z.string() })),
      rows: z.array(z.array(z.unknown())).describe('In the order of the columns.'),
    })
    .meta({ id: 'SqlAnswer' }),
  async answer({ caller, body, analyst }) {
    let sql: string;
    try {
      sql = writeStatement(body.query, analystTables());
    } catch (error) {
      if (!(error instanceof SqlMistake)) throw error;
      const { at, length, instead, publicMessage = '' } = error;
      throw new Refusal('sql.refused', publicMessage, { position: at, length, instead });
    }
    // The mark is what row policies compare with; readonly comes last, since nothing can be set behind it.
    const settings = { ...SQL_SETTINGS, log_comment: caller.orgId, readonly: 1 };
    try {
      const stream = await analyst.stream(sql, 'JSONCompact', settings, { [ORG_PARAMETER]: caller.orgId });
      const { meta, data } = JSON.parse((await buffer(stream)).toString()) as {
        meta: { name: string; type: string }[];
        data: unknown[][];
      };
      const digest = createHash('sha256').update(body.query).digest('hex');
      return {
        body: { columns: meta, rows: data },
        facts: { sql: sql.length, sql_sha256: digest, rows: data.length },
      };
    } catch (error) {
      throw sqlRefusal(error);
    }
  },
});

/** What an analyst is told of a statement that failed: never a value that ClickHouse saw. */
export function sqlRefusal(error: unknown): unknown {
  if (!isFailure(error) || error.code === 'clickhouse.unreachable') return error;
  const [, type = '', number = ''] = /\((\w+) (\d+)\)$/.exec(error.message) ?? [];
  if (LIMIT_ERRORS.has(Number(number)))
    return new Refusal(
      'answer.too-large',
      `It reads, takes or gives more than it may (${type}). Ask for less time, or aggregate.`,
    );
  if (!STATIC_ERRORS.has(Number(number)))
    return new Refusal('sql.failed', `ClickHouse does not run it (${type}).`);
  const said =
    error.message
      .replace(/^ClickHouse refused: /, '')
      .split(/[.:]? (?:In scope|While processing|In query)/, 1)[0] ?? '';
  return new Refusal('sql.failed', `${cutTo(300, said)} (${type})`);
}
