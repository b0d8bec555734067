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
 * ESC, so a hostile tool name stays inside its line; pino leaves U+0085, U+2028, U+2029 and the C1 controls as they
 * are, so those are escaped here (a terminal or a line splitter may act on them).
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

const CONTROLS = /[\u007f-\u009f\u2028\u2029]/g;

function escapeControls(line: string): string {
  return line.replaceAll(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
