import type { IncomingHttpHeaders } from 'node:http';
import { engineError } from './clickhouse-error.ts';

/** A request on ClickHouse's HTTP interface, read. https://clickhouse.com/docs/interfaces/http */
export interface EngineRequest {
  readonly sql: string;
  /** File with the rows to insert, in the format that `sql` ends with; absent when `sql` holds everything. */
  readonly rowsFile: string | undefined;
  /** Settings of this request alone. */
  readonly settings: Readonly<Record<string, string>>;
  /** Values of `{name:Type}`, in ClickHouse's escaped form. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly database: string | undefined;
  /** Of the answer, unless `sql` names one. */
  readonly format: string;
  readonly session: SessionTraits | undefined;
}

/** A session keeps settings, the current database and temporary tables from one request to the next. */
export interface SessionTraits {
  readonly id: string;
  /** It ends when it was not used for so long. */
  readonly idleMsMax: number;
  /** It must be there already. */
  readonly mustExist: boolean;
  /** It ends with this request. */
  readonly closes: boolean;
}

/** Parameters of the interface that are not settings of the query. */
const NOT_SETTINGS = new Set([
  'query',
  'database',
  'default_format',
  'query_id',
  'session_id',
  'session_timeout',
  'session_check',
  'close_session',
  'user',
  'password',
  'role',
  'quota_key',
  'compress',
  'decompress',
  'enable_http_compression',
  'http_zlib_compression_level',
  'wait_end_of_query',
  'buffer_size',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
  'cancel_http_readonly_queries_on_client_close',
]);

const PARAMETER = 'param_';

/** What the address and the headers of a request say; the statement and its rows are put beside it. */
export function readTraits(
  method: string,
  search: URLSearchParams,
  headers: IncomingHttpHeaders,
): Omit<EngineRequest, 'sql' | 'rowsFile'> {
  if (search.get('compress') === '1' || search.get('decompress') === '1') {
    throw engineError(
      48,
      'NOT_IMPLEMENTED',
      'compress and decompress, the blocks of the native protocol, are not served here; ' +
        'use enable_http_compression and Content-Encoding',
    );
  }
  const entries = [...search.entries()];
  const settings = entries.filter(([name]) => !NOT_SETTINGS.has(name) && !name.startsWith(PARAMETER));
  const session = readSession(search);
  // As a server does: what a mere link can ask for changes nothing. It stands last, for it forbids further settings.
  const held = method === 'GET' && !session && !search.has('readonly') ? [['readonly', '2'] as const] : [];
  return {
    settings: Object.fromEntries([...settings, ...held]),
    parameters: Object.fromEntries(
      entries
        .filter(([name]) => name.startsWith(PARAMETER))
        .map(([name, value]) => [name.slice(PARAMETER.length), value]),
    ),
    database: search.get('database') ?? single(headers['x-clickhouse-database']),
    format: search.get('default_format') ?? single(headers['x-clickhouse-format']) ?? 'TabSeparated',
    session,
  };
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header;

function readSession(search: URLSearchParams): SessionTraits | undefined {
  const id = search.get('session_id');
  if (!id) return undefined;
  return {
    id,
    idleMsMax: Math.min(Number(search.get('session_timeout') ?? 60), SESSION_SECONDS_MAX) * 1_000,
    mustExist: search.get('session_check') === '1',
    closes: search.get('close_session') === '1',
  };
}

/** As `max_session_timeout` of a server. */
const SESSION_SECONDS_MAX = 3_600;
