import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { OpenTrail } from './trail.ts';

/**
 * `cairn query 'SELECT …'`: SQL against the trail, read-only.
 *
 * `readonly=1` forbids writing and changing settings; the limits keep a careless question from taking the engine down.
 * Rows stream: a large answer needs no memory here.
 */
export async function query(open: OpenTrail, output: Output, sql: string, format: string): Promise<number> {
  await using trail = open();
  const rows = await trail.stream(withoutSemicolon(sql), output.json ? 'JSONEachRow' : format, {
    readonly: 1,
    // Ids are computed from their parts; whoever asks for everything wants them.
    asterisk_include_alias_columns: 1,
    max_execution_time: 60,
    max_memory_usage: 2_000_000_000,
    output_format_pretty_color: output.color ? 1 : 0,
    output_format_pretty_max_rows: 10_000,
    output_format_json_quote_64bit_integers: 0,
  });
  for await (const chunk of rows) await output.bytes(chunk);
  return EXIT.ok;
}

/** The format follows the statement, so what ends it must go. */
function withoutSemicolon(sql: string): string {
  return sql.trim().replace(/[\s;]+$/, '');
}
