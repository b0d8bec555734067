import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import type { ClickHouse } from './clickhouse.ts';

export interface MigrateOptions {
  /** Holds `NNNN_name.sql`. */
  readonly directory: string;
  /** Name of the cluster; absent for a single server. */
  readonly cluster?: string | undefined;
}

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex. */
  readonly sha256: string;
}

/**
 * Brings the database `cairn` to the latest migration. Safe to repeat and to run at the same time as another: every
 * statement is written so that its repetition changes nothing, and a migration is noted after its last statement.
 *
 * Words in a migration: `{{on_cluster}}` and `{{replicated}}` are empty on a single server; a statement that names
 * `{{cluster}}` is for clusters alone and is left out there.
 *
 * @returns the migrations that were applied now, in order.
 * @throws Failure `migration.changed` when a released file is not what was applied.
 */
export async function migrate(clickhouse: ClickHouse, options: MigrateOptions): Promise<Migration[]> {
  const { cluster } = options;
  const words: Record<string, string> =
    cluster === undefined
      ? { on_cluster: '', replicated: '' }
      : { on_cluster: `ON CLUSTER '${requireName(cluster)}'`, replicated: 'Replicated', cluster };
  await clickhouse.exec(filled('CREATE DATABASE IF NOT EXISTS cairn {{on_cluster}}', words));
  await clickhouse.exec(filled(MIGRATIONS_TABLE, words));
  const applied = await appliedMigrations(clickhouse);
  const pending: Migration[] = [];
  for (const migration of await readMigrations(options.directory)) {
    const known = applied.get(migration.number);
    if (known === undefined) pending.push(migration);
    else if (known !== migration.sha256) throw changed(migration);
  }
  for (const migration of pending) {
    for (const statement of statementsOf(migration.sql)) {
      if (cluster === undefined && statement.includes('{{cluster}}')) continue;
      await clickhouse.exec(filled(statement, words));
    }
    const { number, name, sha256 } = migration;
    await clickhouse.insertRows('cairn.migrations', [{ number, name, sha256 }], { async_insert: 0 });
  }
  return pending;
}

/** Migrations that are not applied yet; all of them when the database does not exist. */
export async function pendingMigrations(clickhouse: ClickHouse, directory: string): Promise<Migration[]> {
  const exists = await clickhouse.query<{ found: number }>(
    `SELECT toUInt32(count()) AS found FROM system.tables WHERE database = 'cairn' AND name = 'migrations'`,
  );
  const applied = exists[0]?.found ? await appliedMigrations(clickhouse) : new Map<number, string>();
  const all = await readMigrations(directory);
  return all.filter(({ number }) => !applied.has(number));
}

/** The numbered files of a directory, in order. @throws Failure `migration.misnamed` */
export async function readMigrations(directory: string): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const parts = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file);
      if (!parts || Number(parts[1]) !== index + 1) throw misnamed(file, index + 1);
      const sql = await readFile(join(directory, file), 'utf8');
      const sha256 = createHash('sha256').update(sql).digest('hex');
      return { number: index + 1, name: parts[2] ?? '', sql, sha256 };
    }),
  );
}

const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS cairn.migrations {{on_cluster}}
(
    number UInt32,
    name String,
    sha256 String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{replicated}}ReplacingMergeTree(applied_at)
ORDER BY number`;

async function appliedMigrations(clickhouse: ClickHouse): Promise<Map<number, string>> {
  const rows = await clickhouse.query<{ number: number; sha256: string }>(
    'SELECT number, sha256 FROM cairn.migrations FINAL ORDER BY number',
  );
  return new Map(rows.map(({ number, sha256 }) => [number, sha256]));
}

/** Statements end in a semicolon at the end of a line; comments are left out. */
function statementsOf(sql: string): string[] {
  const code = sql.replaceAll(/^\s*--.*$/gm, '');
  return code
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

function filled(text: string, words: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (whole, word: string) => words[word] ?? whole);
}

function requireName(cluster: string): string {
  if (/^[\w{}-]{1,128}$/.test(cluster)) return cluster;
  throw new Failure({
    code: 'migration.cluster',
    retry: 'no',
    message: `not the name of a cluster: ${JSON.stringify(cluster)}`,
    mend: 'Name it as in system.clusters: letters, digits, underscore and hyphen.',
  });
}

function changed({ number, name }: Migration): Failure {
  return new Failure({
    code: 'migration.changed',
    retry: 'no',
    message: `migration ${number} (${name}) was applied with another text`,
    mend: 'A released migration is never edited: restore the file and put the change into a new one.',
  });
}

function misnamed(file: string, expected: number): Failure {
  return new Failure({
    code: 'migration.misnamed',
    retry: 'no',
    message: `${file} stands where migration ${expected} is expected`,
    mend: 'Name migrations 0001_name.sql, 0002_name.sql and so on, with no number left out.',
  });
}
