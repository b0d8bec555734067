import type { ClickHouse } from '@cairn/adapters';
import * as fc from 'fast-check';

/** Names by which an agent would have a spreadsheet run something: OWASP, "CSV Injection", and what goes around its usual answers. */
const KNOWN: readonly string[] = [
  '=1+1',
  '+1+1',
  '-1+1',
  '@SUM(1)',
  '=HYPERLINK("http://127.0.0.1/?"&A1,"see")',
  "=cmd|' /C calc'!A0",
  "+cmd|' /C calc'!A0",
  '=DDE("cmd";"/C calc";"x")',
  '=WEBSERVICE("http://127.0.0.1/")',
  '＝1+1',
  '＋1+1',
  '－1+1',
  '＠SUM(1)',
  // What is taken away before it is looked at.
  '\t=1+1',
  '\r=1+1',
  '\n=1+1',
  '\r\n=1+1',
  ' =1+1',
  '\u00a0=1+1',
  '\ufeff=1+1',
  '"=1+1"',
  '""=1+1',
  "'=1+1",
  "' =1+1",
  // A cell of its own, where another separator is set: of the locale, or by hand.
  'x;=1+1;y',
  'x;"=1+1";y',
  'x; =1+1;y',
  'x;+1+1',
  'x\t=1+1\ty',
  'x\t"=1+1"\ty',
  'x|=1+1|y',
  'x,=1+1,y',
  '",=1+1,"',
  '";=1+1;"',
  "x;'=1+1",
  // A row of its own, where quotes are not those of the separator.
  'x\n=1+1',
  'x\r\n=1+1;y',
  'x\n"=1+1',
  'x"\n=1+1',
];

/** Them, and as many again as are asked for of the same characters; the same ones each time. */
export function hostileCells(random: number): string[] {
  const characters = [...'=+-@＝＋－＠;|,\t\r\n"\'  x1(A)\u00a0\ufeff', '=1+1', '""', ';=', '\n='];
  const texts = fc
    .array(fc.constantFrom(...characters), { minLength: 1, maxLength: 14 })
    .map((parts) => parts.join(''));
  return [...KNOWN, ...fc.sample(texts, { numRuns: random, seed: 7 })];
}

/** Events of an organisation whose names, tasks, rules and kept values are these. */
export async function insertHostile(
  clickhouse: ClickHouse,
  org: string,
  cells: readonly string[],
): Promise<void> {
  const rows = cells.map((cell, at) => ({
    topic: 'audit.events.standard',
    partition: 7,
    offset: at,
    received_at: '2026-11-20 00:00:00.000',
    org_id: org,
    kind: 'tool_call',
    timestamp: '2026-11-20 00:00:00',
    event_id_random: 'abcdefghij',
    task: cell,
    agent_id: cell,
    tool_name: cell,
    error_message: cell,
    rules_matched: [cell],
    parameters_kept: [{ name: cell, value: cell }],
  }));
  await clickhouse.insertRows('cairn.events', rows);
}

/** The same cells as whoever thinks of quotes alone would write them, a number first as in an export. */
export const naiveCsv = (cells: readonly string[]): string =>
  cells
    .map((cell, at) => `${at},"topic","${cell.replaceAll('"', '""')}","${cell.replaceAll('"', '""')}"\r\n`)
    .join('');
