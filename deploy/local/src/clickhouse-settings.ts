import type { Connection } from './clickhouse-addon.ts';
import type { EngineRequest } from './clickhouse-request.ts';
import { literal, setStatement } from './clickhouse-statement.ts';

/**
 * Gives a connection the settings and parameters of a request, which it then keeps.
 *
 * @param isSet it has the settings already.
 */
export async function applySettings(
  connection: Connection,
  { settings, parameters }: EngineRequest,
  isSet = false,
): Promise<void> {
  const set = setStatement(isSet ? {} : settings, parameters);
  if (!set) return;
  if (set.length <= SET_LENGTH_MAX) return void (await connection.query(set, 'Null'));
  // Long values must not be held to the limit of the query, which comes back behind them.
  await connection.query(`SET max_query_size = ${4 * set.length}`, 'Null');
  const limit = settings['max_query_size'] === undefined ? ', max_query_size = DEFAULT' : '';
  await connection.query(`${setStatement(settings, parameters)}${limit}`, 'Null');
}

/** Characters; their bytes are never more than ClickHouse's default for `max_query_size`, which is in bytes. */
const SET_LENGTH_MAX = 64 * 1024;

/** Runs `work` and brings back the settings that the request replaced, for the next request of its session. */
export async function keepingSettings<T>(
  connection: Connection,
  request: EngineRequest,
  work: () => Promise<T>,
): Promise<T> {
  const names = Object.keys(request.settings).map(literal);
  if (names.length === 0) return await work();
  const { bytes } = await connection.query(
    `SELECT name, value FROM system.settings WHERE name IN (${names.join(', ')})`,
    'JSONCompactEachRow',
  );
  const lines = Buffer.from(bytes).toString().trimEnd().split('\n');
  const before = setStatement(Object.fromEntries(lines.filter(Boolean).map((line) => JSON.parse(line))));
  try {
    return await work();
  } finally {
    if (before) await connection.query(before, 'Null');
  }
}
