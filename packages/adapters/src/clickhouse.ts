import { Readable } from 'node:stream';
import { Failure, messageOf } from '@cairn/failure';
import {
  ClickHouseError,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
  type DataFormat,
} from '@clickhouse/client';

export interface ClickHouseOptions {
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Longest wait for an answer; default 60,000. */
  readonly answerMsMax?: number;
}

/** Settings of one request, as ClickHouse names them. */
export type Settings = Readonly<Record<string, string | number>>;

export interface ClickHouse extends AsyncDisposable {
  /** Rows as objects. Parameters stand in the text as `{name:Type}`. */
  query<Row>(
    sql: string,
    parameters?: Readonly<Record<string, unknown>>,
    settings?: Settings,
  ): Promise<Row[]>;
  /** The answer as text, in the format that is named, such as `PrettyCompact` or `CSVWithNames`. Parameters as with `query`. */
  stream(
    sql: string,
    format: string,
    settings?: Settings,
    parameters?: Readonly<Record<string, unknown>>,
  ): Promise<AsyncIterable<Uint8Array>>;
  /** A statement without rows in its answer. */
  exec(sql: string, settings?: Settings): Promise<void>;
  /** Rows as objects into a table. */
  insertRows(table: string, rows: readonly object[], settings?: Settings): Promise<void>;
  /** A statement that reads its rows from what is sent behind it, one piece after the other: `INSERT … SELECT … FROM input('…') FORMAT …`. */
  insertBody(sql: string, pieces: readonly Uint8Array[], settings?: Settings): Promise<void>;
  /** Ends the queries whose `log_comment` begins so and has the mark behind it, and returns when they have ended. */
  killQueries(beginning: string, mark?: string): Promise<void>;
  /** True when the server answers. */
  ping(): Promise<boolean>;
}

/**
 * Opens ClickHouse over HTTP. Nothing is sent before the first call.
 *
 * Every call rejects with a `Failure`:
 * - `clickhouse.unreachable` (later): no whole answer came; a statement that writes may have been applied.
 * - `clickhouse.bad-rows` (no): the rows of an insert could not be read or do not fit the table.
 * - `clickhouse.busy` (later): too many queries or parts, or too little memory.
 * - `clickhouse.refused` (no): anything else the server said; its number is in the message.
 */
export function openClickHouse(options: ClickHouseOptions): ClickHouse {
  const client = createClient({
    url: options.url,
    username: options.user ?? 'default',
    password: options.password ?? '',
    request_timeout: options.answerMsMax ?? 60_000,
    log: { level: ClickHouseLogLevel.OFF },
    max_open_connections: 32,
    // A pooled connection that the server closed meanwhile must not be used: an insert would be uncertain for nothing.
    keep_alive: { enabled: true, idle_socket_ttl: 1_500 },
  });

  const statement = (query: string, settings: Settings = {}) => ({
    query,
    clickhouse_settings: settings as ClickHouseSettings,
  });

  return {
    async query<Row>(
      sql: string,
      parameters: Readonly<Record<string, unknown>> = {},
      settings: Settings = {},
    ) {
      return translated(async () => {
        const answer = await client.query({
          ...statement(sql, settings),
          query_params: { ...parameters },
          format: 'JSONEachRow',
        });
        return answer.json<Row>();
      });
    },
    async stream(sql, format, settings, parameters = {}) {
      return translated(async () => {
        const { stream } = await client.exec({
          query: `${sql}\nFORMAT ${format satisfies string as DataFormat}`,
          query_params: { ...parameters },
          clickhouse_settings: (settings ?? {}) as ClickHouseSettings,
        });
        return stream;
      });
    },
    async exec(sql, settings) {
      await translated(() => client.command(statement(sql, settings)));
    },
    async insertRows(table, rows, settings) {
      if (rows.length === 0) return;
      await translated(() =>
        client.insert({
          table,
          values: [...rows],
          format: 'JSONEachRow',
          clickhouse_settings: (settings ?? {}) as ClickHouseSettings,
        }),
      );
    },
    async insertBody(sql, pieces, settings) {
      await translated(async () => {
        const { stream } = await client.exec({ ...statement(sql, settings), values: Readable.from(pieces) });
        for await (const _ of stream);
      });
    },
    async killQueries(beginning, mark = '') {
      const [begins, marked] = [beginning, mark].map((text) => text.replaceAll(/[\\%_]/g, '\\$&'));
      const pattern = `${begins}%${marked}%`;
      await translated(() =>
        client.command({
          query: `KILL QUERY WHERE Settings['log_comment'] LIKE {pattern:String} SYNC`,
          query_params: { pattern },
        }),
      );
    },
    async ping() {
      return (await client.ping()).success;
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** Numbers of errors that the rows themselves caused. src/Common/ErrorCodes.cpp of ClickHouse. */
const BAD_ROWS = new Set([
  6, // CANNOT_PARSE_TEXT
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  131, // TOO_LARGE_STRING_SIZE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
  407, // DECIMAL_OVERFLOW
  469, // VIOLATED_CONSTRAINT
  691, // UNKNOWN_ELEMENT_OF_ENUM
  1001, // STD_EXCEPTION, from the Avro reader
]);

/** Numbers of errors that pass by themselves. */
const BUSY = new Set([
  159, // TIMEOUT_EXCEEDED
  202, // TOO_MANY_SIMULTANEOUS_QUERIES
  209, // SOCKET_TIMEOUT
  210, // NETWORK_ERROR
  241, // MEMORY_LIMIT_EXCEEDED
  242, // TABLE_IS_READ_ONLY
  243, // NOT_ENOUGH_SPACE
  252, // TOO_MANY_PARTS
  319, // UNKNOWN_STATUS_OF_INSERT
  394, // QUERY_WAS_CANCELLED
  425, // SYSTEM_ERROR
  999, // KEEPER_EXCEPTION
]);

async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw failureOf(error);
  }
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof ClickHouseError)) {
    return new Failure({
      code: 'clickhouse.unreachable',
      retry: 'later',
      message: `ClickHouse did not answer: ${messageOf(error) || 'the connection failed'}`,
      mend: 'Check CLICKHOUSE_URL, and that the server runs.',
      cause: error,
    });
  }
  const code = Number(error.code);
  const kind = BAD_ROWS.has(code) ? 'bad-rows' : BUSY.has(code) ? 'busy' : 'refused';
  return new Failure({
    code: `clickhouse.${kind}`,
    retry: kind === 'busy' ? 'later' : 'no',
    message: `ClickHouse refused: ${messageOf(error)} (${error.type ?? 'error'} ${error.code})`,
    cause: error,
  });
}
