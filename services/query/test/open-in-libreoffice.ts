// Opens a CSV export of hostile names in LibreOffice and counts the cells that it took for formulas.
//
//   node services/query/test/open-in-libreoffice.ts     prints a table; exits 1 when an export has a formula, or when the same names,
//                                                       written with quotes alone, have none: then nothing was judged
//
// It wants `soffice` (Debian: apt-get install --no-install-recommends libreoffice-calc-nogui, some 400 MB), so no test does it; the engine of
// formulas-in.ts judges the same export in the tests.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import { startApi } from './api-rig.ts';
import { hostileCells, insertHostile, naiveCsv } from './hostile-cells.ts';

const SEPARATORS = { comma: 44, semicolon: 59, tab: 9, bar: 124 } as const;
const directory = mkdtempSync(join(tmpdir(), 'cairn-libreoffice-'));

/** Formulas, by what is computed. Numbers are told, blanks before them taken away or not, formulas evaluated: all that makes one of a text. */
function formulasOf(csv: string, separator: number, isTrimmed: boolean): string[] {
  const file = join(directory, 'export.csv');
  writeFileSync(file, csv);
  const filter = `CSV:${separator},34,UTF8,1,,0,false,true,false,false,${isTrimmed},-1,true`;
  const { status, stderr, error } = spawnSync(
    'soffice',
    [
      `-env:UserInstallation=file://${directory}/profile`,
      ...['--headless', `--infilter=${filter}`, '--convert-to', 'fods', '--outdir', directory, file],
    ],
    { encoding: 'utf8', timeout: 120_000 },
  );
  if (status !== 0)
    throw new Failure({
      code: 'tool.missing',
      retry: 'no',
      message: `soffice did not open the file: ${error?.message ?? stderr}`,
      mend: 'On Debian: apt-get install --no-install-recommends libreoffice-calc-nogui',
    });
  const sheet = readFileSync(join(directory, 'export.fods'), 'utf8');
  return [...sheet.matchAll(/ table:formula="([^"]*)"/g)].map(([, formula]) => formula!);
}

const cells = hostileCells(400);
await using api = await startApi({ events: 0 });
await insertHostile(api.clickhouse, 'csv-org', cells);
const key = await api.key('auditor', { orgId: 'csv-org' });
const exported = await (await api.ask('/v1/exports/events?format=csv', { key })).text();
let isAsPromised = true;
console.log(`${cells.length} names\nSEPARATOR  BLANKS     QUOTES ALONE  EXPORT`);
for (const [name, separator] of Object.entries(SEPARATORS))
  for (const isTrimmed of [false, true]) {
    const naive = formulasOf(naiveCsv(cells), separator, isTrimmed);
    const found = formulasOf(exported, separator, isTrimmed);
    isAsPromised &&= naive.length > 0 && found.length === 0;
    const row = [name.padEnd(9), (isTrimmed ? 'taken away' : 'kept').padEnd(10)];
    console.log(`${row.join('  ')}${String(naive.length).padStart(13)}${String(found.length).padStart(8)}`);
    for (const formula of found.slice(0, 20)) console.log(`           ${JSON.stringify(formula)}`);
  }
rmSync(directory, { recursive: true, force: true });
process.exitCode = isAsPromised ? 0 : 1;
