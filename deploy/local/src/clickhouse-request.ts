/** A request on ClickHouse's HTTP interface, read. https://clickhouse.com/docs/interfaces/http */
export interface EngineRequest {
  readonly sql: string;
  /** Rows to insert, in the format that `sql` ends with; absent when `sql` holds everything. */
  readonly rows: Uint8Array | undefined;
  /** Settings of this request alone. */
  readonly settings: Readonly<Record<string, string>>;
  /** Values of `{name:Type}`, in ClickHouse's escaped form. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly database: string | undefined;
  readonly format: string;
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
  'close_session',
]);

const PARAMETER = 'param_';

/**
 * Reads a request: the query is the `query` parameter followed by the body; when the parameter is an INSERT that ends
 * with a format, the body is its rows.
 */
export function readRequest(search: URLSearchParams, headers: Headers, body: Uint8Array): EngineRequest {
  const query = search.get('query') ?? '';
  const insertsBody = body.length > 0 && INSERT_WITH_FORMAT.test(query);
  const text = insertsBody ? query : joined(query, body);
  const entries = [...search.entries()];
  return {
    sql: text.trim().replace(/;$/, ''),
    rows: insertsBody ? body : undefined,
    settings: Object.fromEntries(
      entries.filter(([name]) => !NOT_SETTINGS.has(name) && !name.startsWith(PARAMETER)),
    ),
    parameters: Object.fromEntries(
      entries
        .filter(([name]) => name.startsWith(PARAMETER))
        .map(([name, value]) => [name.slice(PARAMETER.length), value]),
    ),
    database: search.get('database') ?? headers.get('x-clickhouse-database') ?? undefined,
    format: search.get('default_format') ?? headers.get('x-clickhouse-format') ?? 'TabSeparated',
  };
}

const INSERT_WITH_FORMAT = /^\s*INSERT\b[\s\S]*\bFORMAT\s+(\w+)\s*;?\s*$/i;

function joined(query: string, body: Uint8Array): string {
  const text = new TextDecoder().decode(body);
  if (query === '') return text;
  return text === '' ? query : `${query}\n${text}`;
}

/**
 * The embedded engine cannot be handed rows beside a statement, and has no `input()`: the rows are put into a file and
 * the statement is turned to read it.
 *
 * - `INSERT INTO t SELECT … FROM input('a Int8') … FORMAT Avro` → `… FROM file('<file>', 'Avro', 'a Int8') …`
 * - `INSERT INTO t (a) FORMAT Native` → `INSERT INTO t (a) FROM INFILE '<file>' FORMAT Native`
 */
export function insertFromFile(sql: string, file: string): string {
  const format = INSERT_WITH_FORMAT.exec(sql)?.[1] ?? '';
  const before = sql.replace(/\bFORMAT\s+\w+\s*;?\s*$/i, '').trimEnd();
  if (/\binput\s*\(/i.test(before)) {
    return before.replace(/\binput\s*\(/i, `file(${literal(file)}, ${literal(format)}, `);
  }
  // INFILE stands before the settings of the statement.
  const settings = /\bSETTINGS\b[\s\S]*$/i.exec(before)?.[0] ?? '';
  const head = before.slice(0, before.length - settings.length).trimEnd();
  return `${head} FROM INFILE ${literal(file)} ${settings} FORMAT ${format}`;
}

/** A SQL string literal. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** `SET …` for the settings and the parameters of a request, or undefined when it has none. */
export function setStatement({ settings, parameters }: EngineRequest): string | undefined {
  const names = [...Object.keys(settings), ...Object.keys(parameters)];
  const wrong = names.find((name) => !/^\w+$/.test(name));
  if (wrong !== undefined) throw new RangeError(`not a name of a setting or parameter: ${wrong}`);
  const assignments = [
    ...Object.entries(settings).map(([name, value]) => `${name} = ${literal(value)}`),
    ...Object.entries(parameters).map(([name, value]) => `param_${name} = ${literal(value)}`),
  ];
  return assignments.length === 0 ? undefined : `SET ${assignments.join(', ')}`;
}
