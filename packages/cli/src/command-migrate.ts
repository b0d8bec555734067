import { migrate as applyMigrations, pendingMigrations } from '@cairn/adapters';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { OpenTrail } from './trail.ts';

export interface MigrateOptions {
  /** Holds `NNNN_name.sql`. */
  readonly directory: string;
  readonly cluster?: string | undefined;
  /** Says what would be applied and changes nothing. */
  readonly dryRun: boolean;
}

/** `cairn migrate`: the database brought to the latest migration. */
export async function migrate(open: OpenTrail, output: Output, options: MigrateOptions): Promise<number> {
  await using trail = open();
  const { directory, cluster, dryRun } = options;
  const migrations = dryRun
    ? await pendingMigrations(trail, directory)
    : await applyMigrations(trail, { directory, cluster });
  const verb = dryRun ? 'would apply' : 'applied';
  for (const { number, name } of migrations) {
    output.value({ number, name, applied: !dryRun });
    output.line(`${verb} ${String(number).padStart(4, '0')} ${name}`);
  }
  if (migrations.length === 0) output.note('The database is up to date.');
  return EXIT.ok;
}
