import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino';

export type Logger = PinoLogger;

export interface LogOptions {
  /** Service that speaks; the field `service` of every line. */
  readonly name: string;
  readonly level?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' | undefined;
  /** Where lines go; standard output unless given. */
  readonly destination?: DestinationStream;
}

/**
 * One JSON object a line, field names in ECS manner (`@timestamp`, `log.level`, `message`). JSON escapes CR, LF and
 * ESC, so a hostile tool name stays inside its line; pino leaves DEL, the C1 controls, U+2028, U+2029 and what reorders or
 * has no width as they are, so those are escaped here: a terminal or a line splitter may act on them, and a reader be deceived.
 *
 * Callers pass named facts, never whole messages of an agent or a tool.
 */
export function createLog(options: LogOptions): Logger {
  const target = options.destination ?? pino.destination({ fd: 1, sync: true });
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.name },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: () => `,"@timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ 'log.level': label }) },
      serializers: { error: stdSerializers.err },
    },
    { write: (line: string) => target.write(escapeControls(line)) },
  );
}

/** What `visible` of packages/session shows as its code point, but for what JSON has escaped, and the line's own end. */
const UNSAFE = /[\x7f-\x9f\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** Nearly every line. */
const PLAIN = /^[\x20-\x7e]*\n?$/;

/** As JSON escapes: by UTF-16 units, so that a reader of the line gets what was written. */
function escapeControls(line: string): string {
  if (PLAIN.test(line)) return line;
  return line.replaceAll(UNSAFE, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
