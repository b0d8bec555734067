import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ServiceProcess } from '@cairn/local';
import type { ChaosRig } from './chaos-rig.ts';
import type { ProxiedStatement, StatementFate } from './http-proxy.ts';

/** A point of the work of whoever loads the table, by the request that is made there; statements by their beginning. */
export type Point =
  | 'commit of the intent'
  | 'parking'
  | 'INSERT INTO cairn.ingest_owners'
  | 'KILL QUERY'
  | 'INSERT INTO cairn.ingest_gaps'
  | typeof ROWS;

export const ROWS = 'INSERT INTO cairn.events';

export const passes: StatementFate = { do: 'pass' };

/**
 * Has a process die of SIGKILL when it comes to a point: before the other side hears of the request, or in place of its
 * answer. The first time only; whatever the proxies did before is over.
 *
 * @param seen is told the statement.
 * @returns when it is dead.
 */
export function dieAt(
  { proxy, tableProxy }: ChaosRig,
  service: ServiceProcess,
  point: Point,
  when: 'before' | 'after',
  seen: (statement: ProxiedStatement) => void = () => {},
): Promise<void> {
  const { promise: dead, resolve } = Promise.withResolvers<void>();
  let reached = false;
  const die = async (): Promise<void> => {
    await service.kill9();
    resolve();
  };
  tableProxy.decide = async (statement) => {
    if (reached || !statement.sql.startsWith(point)) return passes;
    reached = true;
    seen(statement);
    if (when === 'after') return { do: 'lose-answer', applied: die };
    await die();
    return { do: 'cut' };
  };
  proxy.decide = ({ isProduce, isOffsetCommit, frame }) => {
    const isIt =
      (point === 'parking' && isProduce) ||
      (point === 'commit of the intent' && isOffsetCommit && frame.includes('v1|'));
    if (reached || !isIt) return { do: 'pass' };
    reached = true;
    if (when === 'after') return { do: 'lose-answer', applied: die };
    void die();
    return { do: 'swallow' };
  };
  return dead;
}

/**
 * Kills ClickHouse, takes the part away that holds most of an organisation's rows, or the tokens of the table, and starts it.
 *
 * @returns the day of the part, as `YYYY-MM-DD`.
 */
export async function killAndTakeAway(
  { clickhouse, parts }: ChaosRig,
  org: string,
  what: 'part' | 'tokens',
): Promise<{ readonly day: string }> {
  const [part] = await clickhouse.query<{ path: string; name: string }>(
    `SELECT path, name FROM system.parts WHERE database = 'cairn' AND table = 'events' AND active
     AND name IN (SELECT _part FROM cairn.events WHERE org_id = {org:String} GROUP BY _part ORDER BY count() DESC LIMIT 1)`,
    { org },
  );
  const path = part?.path.replace(/\/$/, '') ?? '';
  const tokens = join(dirname(path), 'deduplication_logs');
  if (!existsSync(path) || !existsSync(tokens)) throw new Error(`no part or no tokens in ${dirname(path)}`);
  await parts.part('clickhouse').kill9();
  rmSync(what === 'part' ? path : tokens, { recursive: true });
  await parts.part('clickhouse').start();
  const day = part?.name.slice(0, 8) ?? '';
  return { day: `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}` };
}
